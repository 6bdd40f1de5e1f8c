"""The bound on what may be seen: in the loop, and as stages share it."""

import numpy as np
import pytest

from artscraper_runner.attacks.constraints import Box, VisibilityBound
from artscraper_runner.attacks.evaluation import EVERYWHERE
from artscraper_runner.attacks.visibility_budget import SHARES, stage_bound
from artscraper_runner.imaging.visibility import VisibilityModel


def _picture() -> np.ndarray:
    rng = np.random.default_rng(2)
    picture = np.full((1, 3, 64, 64), 0.5, np.float32)
    picture[..., 32:] += rng.normal(0, 0.1, (1, 1, 64, 32)).astype(np.float32)
    return picture.clip(0, 1)


def _bound(picture: np.ndarray, start: np.ndarray, visibility: float) -> VisibilityBound:
    box = Box(picture, start, np.float32(16 / 255))
    model = VisibilityModel(picture[0])
    return VisibilityBound(
        box, model, original=picture, start=start, visibility=visibility, share=EVERYWHERE
    )


@pytest.mark.parametrize("visibility", [0.5, 1.0])
def test_projection_keeps_the_bound(visibility: float) -> None:
    picture = _picture()
    bound = _bound(picture, np.zeros_like(picture), visibility)
    change = np.random.default_rng(1).normal(0, 0.05, picture.shape).astype(np.float32)
    kept = bound.project(bound.project(change))
    figure = VisibilityModel(picture[0]).places((picture + kept)[0].clip(0, 1)).max()
    assert figure <= 1.2 * visibility  # the layer is checked once more, as saved
    assert np.abs(kept).max() > 0


def test_projection_keeps_the_local_direction() -> None:
    picture = _picture()
    bound = _bound(picture, np.zeros_like(picture), 0.5)
    change = np.random.default_rng(1).normal(0, 0.02, picture.shape).astype(np.float32)
    kept = bound.project(change.copy())
    same = np.sign(kept) == np.sign(bound._constraint.project(change.copy()))
    assert same[np.abs(kept) > 1e-6].all()


def test_bound_keeps_earlier_changes() -> None:
    picture = _picture()
    start = np.random.default_rng(3).normal(0, 0.03, picture.shape).astype(np.float32)
    bound = _bound(picture, start, 0.2)  # which the start has passed
    kept = bound.project(start + np.float32(0.02))
    assert np.allclose(kept[..., :24], start[..., :24], atol=1e-3)


def test_stages_share_the_bound_and_the_last_has_all_of_it() -> None:
    bounds = [stage_bound(1.5, stage, tuple(SHARES)) for stage in SHARES]
    assert bounds == sorted(bounds)
    assert bounds[-1] == pytest.approx(1.5)
    assert stage_bound(1.5, "mist", ("mist",)) == 1.5


def test_cloak_has_most_of_the_bound_and_reserves_later_shares() -> None:
    stages = ("fawkes", *SHARES)
    cloak = stage_bound(2.0, "fawkes", stages)
    assert 1.8 < cloak < 2.0
    assert stage_bound(2.0, "fawkes", ("fawkes",)) == 2.0
    assert stage_bound(2.0, "mist", stages) == stage_bound(2.0, "mist", tuple(SHARES))


def test_stages_without_a_share_use_no_bound() -> None:
    alone = stage_bound(1.0, "photoguard", ("photoguard", "c2pa", "stegano-embed"))
    assert alone == 1.0
