"""Separable filters in NumPy, beside plain definitions of what they compute."""

import numpy as np
import pytest

from artscraper_runner.imaging.filters import (
    continued,
    correlate,
    gaussian_blur,
    gaussian_taps,
    window_mean,
    window_minimum,
)


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(3).random((2, 11, 9), np.float32)


def _windows(values: np.ndarray, size: int) -> np.ndarray:
    reach = size // 2
    padded = np.pad(values, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))


@pytest.mark.parametrize("size", [1, 3, 5, 7, 9])
def test_windowed_result_is_seamless(values, size) -> None:
    windows = _windows(values, size)
    assert window_mean(values, size) == pytest.approx(windows.mean((-1, -2)), abs=1e-6)
    assert (window_minimum(values, size) == windows.min((-1, -2))).all()


def test_window_mean_of_one_pixel_is_a_copy(values) -> None:
    mean = window_mean(values, 1)
    mean += 1
    assert values.max() < 1


def test_gaussian_keeps_a_flat_picture_and_spreads_a_point() -> None:
    assert gaussian_blur(np.full((4, 3), 0.5, np.float32), 1.5) == pytest.approx(0.5)
    point = np.zeros((31, 31), np.float32)
    point[15, 15] = 1
    taps = gaussian_taps(1.5)
    blurred = gaussian_blur(point, 1.5)
    assert blurred[15, 15:22] == pytest.approx(np.multiply(taps, taps[0]), abs=1e-7)
    assert blurred.sum() == pytest.approx(1, abs=1e-6)


def test_correlation_extends_edges_by_mode() -> None:
    row = np.array([[1, 0, 0, 2]], np.float32)
    assert correlate(row, (0.5, 0.25), axis=-1).tolist() == [[0.75, 0.25, 0.5, 1.5]]
    outside_zero = correlate(row, (0.5, 0.25), axis=-1, mode="constant")
    assert outside_zero.tolist() == [[0.5, 0.25, 0.5, 1.0]]


@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("reach", [0, 1, 5])
def test_continued_border_equals_padding_by_edges(axis: int, reach: int) -> None:
    values = np.random.default_rng(3).random((2, 7, 3), np.float32)
    pads = [(0, 0)] * 3
    pads[axis] = (reach, reach)
    assert np.array_equal(continued(values, reach, axis), np.pad(values, pads, mode="edge"))
