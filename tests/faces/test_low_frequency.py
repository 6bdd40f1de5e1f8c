"""The low frequencies of a change are what a Gaussian leaves, and they can be taken off."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from artscraper_runner.faces.low_frequency import (
    blurred,
    clip_low_frequency,
    max_low_frequency,
    to_luma_chroma,
    to_rgb,
)

BLUR, BOUND = 3.0, 0.5


def test_blur_is_gaussian():
    plane = np.random.default_rng(0).standard_normal((40, 50)).astype(np.float32)
    blurry = blurred(plane[None, None], BLUR)[0, 0]
    expected = ndimage.gaussian_filter(plane, BLUR, mode="nearest", truncate=3)
    assert np.allclose(blurry, expected, atol=1e-6)


def test_luma_and_chroma_round_trip():
    change = np.random.default_rng(0).random((1, 3, 5, 6), np.float32) - np.float32(0.5)
    assert np.allclose(to_rgb(to_luma_chroma(change)), change, atol=1e-6)
    assert np.allclose(to_luma_chroma(np.ones((1, 3, 2, 2), np.float32))[:, 1:], 0, atol=1e-6)


def test_projection_removes_low_frequencies_only():
    rows, columns = np.mgrid[0:64, 0:64]
    wide = np.ones((1, 3, 1, 1), np.float32) * (2 * np.sin(rows / 10)).astype(np.float32)
    fine = np.ones((1, 3, 1, 1), np.float32) * (2.0 * ((rows + columns) % 2) - 1).astype(np.float32)
    bounds = np.full((1, 3, 1, 1), BOUND, np.float32)
    clipped = clip_low_frequency(wide, -bounds, bounds, BLUR)
    assert np.abs(blurred(clipped, BLUR)).max() < 0.6 * wide.max()
    assert np.allclose(clip_low_frequency(fine, -bounds, bounds, BLUR), fine)


def test_maximum_covers_luma_and_chroma():
    grey, red = np.full((1, 3, 20, 20), 0.1, np.float32), np.zeros((1, 3, 20, 20), np.float32)
    red[:, 0] = 0.1
    assert abs(max_low_frequency(grey, BLUR) - 0.1) < 1e-6
    assert abs(max_low_frequency(red, BLUR) - 0.05) < 1e-6
