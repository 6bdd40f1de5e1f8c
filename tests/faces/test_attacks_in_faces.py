"""An attack changes a face half as much as it would otherwise, whether `fawkes` ran or not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from artscraper_runner.faces.geometry import Alignment
from artscraper_runner.faces.low_frequency import face_squares
from artscraper_runner.faces.wide_change import blurred, to_luma_chroma
from artscraper_runner.latent import attack as picture_attack
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.stages import load_stage
from artscraper_runner.stages.stage import StageInput
from artscraper_runner.types import Controls

SPARED, BUDGET = 0.5, 8


def attacked(pixels, **options):
    given = StageInput(pixels, pixels, None, ProtectionOptions(**options), Controls())
    return load_stage("photoguard").apply(given).pixels


def in_middle(square: Alignment, change: np.ndarray) -> np.ndarray:
    (x, y), reach = np.round(square.centre).astype(int), int(square.side * 0.25)
    return change[y - reach : y + reach, x - reach : x + reach]


@pytest.fixture(scope="module")
def square(portrait) -> Alignment:
    (found,) = face_squares(portrait, portrait.shape[:2])
    return found


@pytest.fixture(scope="module")
def calm(portrait):
    return attacked(portrait).astype(int) - portrait


@pytest.fixture(scope="module")
def unspared(portrait):
    """The same attack where no face is found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture_attack, "face_squares", lambda original, size: ())
        return attacked(portrait).astype(int) - portrait


def test_half_as_much_in_the_face_and_as_much_elsewhere(portrait, square, calm, unspared):
    spared = np.abs(in_middle(square, calm)).mean() / np.abs(in_middle(square, unspared)).mean()
    assert 0.3 < spared < 0.6
    elsewhere = np.abs(calm[-60:]).mean() / np.abs(unspared[-60:]).mean()
    assert 0.9 < elsewhere < 1.1


def test_colour_in_the_face_does_not_turn(square, calm, unspared):
    def widest_colour(change: np.ndarray) -> float:
        planes = to_luma_chroma(torch.from_numpy(change).float().permute(2, 0, 1)[None])
        wide = blurred(planes, 2.0)[0, 1:].permute(1, 2, 0).numpy()
        return float(np.abs(in_middle(square, wide)).max())

    rounding = 0.25
    assert widest_colour(calm) < 1.5 * 0.1 * SPARED * BUDGET + rounding
    assert widest_colour(unspared) > widest_colour(calm)


def test_the_published_attack_spares_nothing(portrait, square, monkeypatch):
    asked = []

    def bounds_of(*_, bound, calmed, **__):
        asked.append((bound, calmed))
        raise InterruptedError

    monkeypatch.setattr(picture_attack, "optimise", bounds_of)
    with pytest.raises(InterruptedError):
        attacked(portrait, preset="published")
    ((bound, calmed),) = asked
    assert torch.equal(bound, torch.full_like(bound, BUDGET / 255))
    change = torch.ones(1, 3, *portrait.shape[:2])
    assert torch.equal(calmed(change), change)
