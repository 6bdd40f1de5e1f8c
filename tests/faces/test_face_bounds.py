"""Bounds of attacks in faces: half as much, and less still in low frequencies of colour."""

from __future__ import annotations

import numpy as np
import pytest

from artscraper_runner.faces.geometry import Alignment
from artscraper_runner.faces.low_frequency import blurred, face_bounds, to_luma_chroma

SIZE = (96, 96)
BOUND = np.full((1, 1, *SIZE), 8 / 255, np.float32)
FACE = Alignment((48.0, 48.0), 48.0, 0.2)
NONE = np.zeros((1, 3, *SIZE), np.float32)
MIDDLE = (..., slice(36, 60), slice(36, 60))
STILL = (..., slice(0, 8), slice(None))  # above the face


def low_frequencies(change: np.ndarray) -> np.ndarray:
    """Return the largest blurred luma and chroma in the middle of the face, of 255."""
    left = np.abs(blurred(to_luma_chroma(change), 2.0)[MIDDLE]) * 255
    return np.array([left[:, 0].max(), left[:, 1:].max()])


def wavy(weights: tuple[float, float, float], length: float) -> np.ndarray:
    wave = np.sin(np.arange(SIZE[1]) * (2 * np.pi / length)) * 8 / 255
    planes = np.ones((1, 3, *SIZE)) * wave * np.reshape(weights, (1, 3, 1, 1))
    return planes.astype(np.float32)


def projected(change: np.ndarray, squares=(FACE,), start=NONE) -> np.ndarray:
    return face_bounds(squares, start, BOUND).project(change.copy())


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (1.0, 0.0, -1.0)], ids=["light", "colour"])
def test_low_frequencies_are_bounded_in_faces_only(weights):
    change = wavy(weights, 24)
    calm = projected(change)
    light, colour = low_frequencies(calm).tolist()
    assert light <= 1.5 * 0.3 * 4 and colour <= 1.5 * 0.1 * 4
    assert low_frequencies(change).max() > 2 * low_frequencies(calm).max()
    assert np.allclose(calm[STILL], change[STILL], atol=1e-6)
    assert np.array_equal(projected(change, ()), change)


def test_high_frequencies_are_not_bounded():
    grain = wavy((1.0, 1.0, 1.0), 2.5)
    assert np.allclose(projected(grain), grain, atol=0.5 / 255)


def test_low_frequencies_of_a_cloak_are_kept():
    cloak = wavy((1.0, 1.0, 1.0), 24)
    assert np.allclose(projected(cloak, start=cloak), cloak, atol=1e-6)
    assert np.abs(projected(-cloak, start=cloak) + cloak)[MIDDLE].max() > 1 / 255


@pytest.mark.parametrize("centre", [(0.0, 0.0), (95.0, 20.0), (300.0, 300.0)])
def test_faces_beyond_the_border_are_bounded(centre):
    change = wavy((1.0, 1.0, 1.0), 24)
    squares = [Alignment(centre, 48.0, 0.0)]
    assert projected(change, squares).shape == change.shape
    assert np.isfinite(projected(change, squares)).all()
    assert np.isfinite(face_bounds(squares, NONE, BOUND).bound).all()


def test_face_has_half_the_bound_in_a_soft_oval():
    bound = face_bounds([FACE], NONE, BOUND).bound / BOUND
    assert np.allclose(bound[MIDDLE], 0.5)
    assert np.array_equal(bound[STILL], np.ones_like(bound[STILL]))
    assert bound.min() >= 0.5 and bound.max() <= 1
    corner = bound[0, 0, 48 - 23, 48 - 23]  # of the recogniser's square, outside the oval
    assert 0.5 < corner <= 1
    assert np.abs(np.diff(bound[0, 0], axis=0)).max() < 0.1
    assert np.array_equal(face_bounds([], NONE, BOUND).bound, BOUND)


def test_face_found_twice_is_bounded_once():
    again = Alignment((50.0, 47.0), 46.0, 0.1)
    bound = face_bounds([FACE, again], NONE, BOUND).bound / BOUND
    assert bound.min() >= 0.5 - 1e-6
    assert np.allclose(face_bounds([FACE, FACE], NONE, BOUND).bound, one_face(), atol=1e-9)


def one_face() -> np.ndarray:
    return face_bounds([FACE], NONE, BOUND).bound


def test_oval_follows_face_rotation():
    upright = face_bounds([Alignment((48.0, 48.0), 48.0, 0.0)], NONE, BOUND).bound
    lying = face_bounds([Alignment((48.0, 48.0), 48.0, np.pi / 2)], NONE, BOUND).bound
    assert np.allclose(upright[0, 0, 1:, 1:], lying[0, 0, 1:, 1:].T, atol=1e-5)
    assert not np.allclose(upright, lying, atol=1e-3)
