"""An attack changes a face half as much as it would otherwise, whether `fawkes` ran or not."""

from __future__ import annotations

import numpy as np
import pytest

from artscraper_runner.attacks.constraints import Box
from artscraper_runner.attacks.run_cache import RunCache
from artscraper_runner.faces.detection import faces_in
from artscraper_runner.faces.geometry import Alignment
from artscraper_runner.faces.low_frequency import blurred, to_luma_chroma
from artscraper_runner.latent import attack
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.stages import load_stage
from artscraper_runner.stages.stage import StageInput
from artscraper_runner.types import Controls

SPARED, BUDGET = 0.5, 8


def attacked(pixels, **options):
    inputs = StageInput(pixels, pixels, None, ProtectionOptions(**options), Controls())
    return load_stage("photoguard").apply(inputs).pixels


def in_middle(square: Alignment, change: np.ndarray) -> np.ndarray:
    (x, y), reach = np.round(square.centre).astype(int), int(square.side * 0.25)
    return change[y - reach : y + reach, x - reach : x + reach]


@pytest.fixture(scope="module")
def square(portrait) -> Alignment:
    (face,) = faces_in(portrait, RunCache())
    return face.alignment


@pytest.fixture(scope="module")
def bounded(portrait):
    return attacked(portrait).astype(int) - portrait


@pytest.fixture(scope="module")
def unspared(portrait):
    """The same attack where no face is found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attack, "faces_in", lambda original, cache: ())
        return attacked(portrait).astype(int) - portrait


def test_attack_is_halved_in_faces_only(portrait, square, bounded, unspared):
    spared = np.abs(in_middle(square, bounded)).mean() / np.abs(in_middle(square, unspared)).mean()
    assert 0.3 < spared < 0.6
    elsewhere = np.abs(bounded[-60:]).mean() / np.abs(unspared[-60:]).mean()
    assert 0.9 < elsewhere < 1.1


def test_attack_does_not_shift_colour_in_faces(square, bounded, unspared):
    def largest_colour(change: np.ndarray) -> float:
        planes = to_luma_chroma(change.astype(np.float32).transpose(2, 0, 1)[None])
        low = blurred(planes, 2.0)[0, 1:].transpose(1, 2, 0)
        return float(np.abs(in_middle(square, low)).max())

    rounding = 0.25
    assert largest_colour(bounded) < 1.5 * 0.1 * SPARED * BUDGET + rounding
    assert largest_colour(unspared) > largest_colour(bounded)


def test_published_attack_has_no_face_bound(portrait, square, monkeypatch):
    seen = []

    def stopped(*_, constraint, **__):
        seen.append(constraint)
        raise InterruptedError

    monkeypatch.setattr(attack, "optimise", stopped)
    with pytest.raises(InterruptedError):
        attacked(portrait, preset="published")
    (constraint,) = seen
    assert isinstance(constraint, Box)
    assert np.allclose(constraint.step, BUDGET / 255)
