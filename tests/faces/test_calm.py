"""In a face an attack changes half as much, and its wide part, above all of colour, less still."""

from __future__ import annotations

import pytest
import torch

from artscraper_runner.faces.geometry import Alignment
from artscraper_runner.faces.low_frequency import calm_faces
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
    calm = calm_faces([FACE], NONE, BOUND).calmed(change)
    light, colour = wide(calm).tolist()
    assert light <= 1.5 * 0.3 * 4 and colour <= 1.5 * 0.1 * 4
    assert wide(change).max() > 2 * wide(calm).max()
    assert torch.allclose(calm[STILL], change[STILL], atol=1e-6)
    assert torch.equal(calm_faces([], NONE, BOUND).calmed(change), change)


def test_grain_stays():
    grain = wavy((1.0, 1.0, 1.0), 2.5)
    assert torch.allclose(calm_faces([FACE], NONE, BOUND).calmed(grain), grain, atol=0.5 / 255)


def test_the_wide_part_of_a_cloak_stays():
    cloak = wavy((1.0, 1.0, 1.0), 24)
    calm = calm_faces([FACE], cloak, BOUND).calmed
    assert torch.allclose(calm(cloak), cloak, atol=1e-6)
    assert (calm(-cloak) - -cloak)[MIDDLE].abs().max() > 1 / 255


@pytest.mark.parametrize("centre", [(0.0, 0.0), (95.0, 20.0), (300.0, 300.0)])
def test_faces_at_and_beyond_the_border(centre):
    change = wavy((1.0, 1.0, 1.0), 24)
    calm = calm_faces([Alignment(centre, 48.0, 0.0)], NONE, BOUND)
    assert calm.calmed(change).shape == change.shape
    assert torch.isfinite(calm.calmed(change)).all() and torch.isfinite(calm.bound).all()


def test_a_face_has_half_the_bound_in_an_oval_that_fades():
    bound = calm_faces([FACE], NONE, BOUND).bound / BOUND
    assert torch.allclose(bound[MIDDLE], torch.tensor(0.5))
    assert torch.equal(bound[STILL], torch.ones_like(bound[STILL]))
    assert bound.min() >= 0.5 and bound.max() <= 1
    corner = bound[0, 0, 48 - 23, 48 - 23]  # of the recogniser's square, outside the oval
    assert 0.5 < corner <= 1
    assert bound[0, 0].diff(dim=0).abs().max() < 0.1
    assert torch.equal(calm_faces([], NONE, BOUND).bound, BOUND)


def test_a_face_that_is_found_twice_is_one_face():
    again = Alignment((50.0, 47.0), 46.0, 0.1)
    bound = calm_faces([FACE, again], NONE, BOUND).bound / BOUND
    assert bound.min() >= 0.5 - 1e-6
    assert torch.allclose(calm_faces([FACE, FACE], NONE, BOUND).bound, one_face(), atol=1e-9)


def one_face() -> torch.Tensor:
    return calm_faces([FACE], NONE, BOUND).bound


def test_the_oval_turns_with_the_face():
    upright = calm_faces([Alignment((48.0, 48.0), 48.0, 0.0)], NONE, BOUND).bound
    lying = calm_faces([Alignment((48.0, 48.0), 48.0, torch.pi / 2)], NONE, BOUND).bound
    assert torch.allclose(upright[0, 0, 1:, 1:], lying[0, 0, 1:, 1:].T, atol=1e-5)
    assert not torch.allclose(upright, lying, atol=1e-3)
