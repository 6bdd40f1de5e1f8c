"""The wide part of an attack's change in a face is bounded, colour more tightly than light."""

from __future__ import annotations

import pytest
import torch

from artscraper_runner.faces.alignment import Alignment
from artscraper_runner.faces.calm import calm_faces
from artscraper_runner.faces.wide_change import blurred, to_luma_chroma

SIZE = (96, 96)
BOUND = torch.full((1, 1, *SIZE), 8 / 255)
FACE = Alignment((48.0, 48.0), 48.0, 0.2)
NONE = torch.zeros(1, 3, *SIZE)
MIDDLE = (..., slice(36, 60), slice(36, 60))
STILL = (..., slice(0, 8), slice(None))  # above the face


def wide(change: torch.Tensor) -> torch.Tensor:
    """The largest of luma and of chroma under the blur, in the middle of the face, of 255."""
    left = blurred(to_luma_chroma(change), 2.0)[MIDDLE].abs() * 255
    return torch.stack([left[:, 0].amax(), left[:, 1:].amax()])


def wavy(weights: tuple[float, float, float], length: float) -> torch.Tensor:
    wave = torch.sin(torch.arange(SIZE[1]) * (2 * torch.pi / length)) * 8 / 255
    return wave.expand(1, 3, *SIZE) * torch.tensor(weights).view(1, 3, 1, 1)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (1.0, 0.0, -1.0)], ids=["light", "colour"])
def test_wide_changes_are_bounded_in_faces_and_nowhere_else(weights):
    change = wavy(weights, 24)
    calm = calm_faces([FACE], NONE, BOUND)(change)
    light, colour = wide(calm).tolist()
    assert light <= 1.5 * 0.3 * 8 and colour <= 1.5 * 0.1 * 8
    assert wide(change).max() > 2 * wide(calm).max()
    assert torch.equal(calm[STILL], change[STILL])
    assert torch.equal(calm_faces([], NONE, BOUND)(change), change)


def test_grain_stays():
    grain = wavy((1.0, 1.0, 1.0), 2.5)
    assert torch.allclose(calm_faces([FACE], NONE, BOUND)(grain), grain, atol=0.5 / 255)


def test_the_wide_part_of_a_cloak_stays():
    cloak = wavy((1.0, 1.0, 1.0), 24)
    calm = calm_faces([FACE], cloak, BOUND)
    assert torch.allclose(calm(cloak), cloak, atol=1e-6)
    assert (calm(-cloak) - -cloak)[MIDDLE].abs().max() > 1 / 255


@pytest.mark.parametrize("centre", [(0.0, 0.0), (95.0, 20.0), (300.0, 300.0)])
def test_faces_at_and_beyond_the_border(centre):
    change = wavy((1.0, 1.0, 1.0), 24)
    calm = calm_faces([Alignment(centre, 48.0, 0.0)], NONE, BOUND)(change)
    assert calm.shape == change.shape and torch.isfinite(calm).all()
