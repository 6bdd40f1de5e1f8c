"""Distances between a picture and its original: Linf, PSNR and SSIM.

All take uint8 arrays (H, W, 3) of equal size and work in bands of rows, so that a pair of 50
megapixels needs little memory beyond its own. Every pixel counts; nothing is sampled.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.imaging.filters import window_mean
from artscraper_runner.imaging.tiles import over_bands

Pixels = NDArray[np.uint8]
_SSIM_WINDOW = 7  # px; uniform window and sample covariance, as scikit-image computes it
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def linf(before: Pixels, after: Pixels) -> int:
    """Return the largest change of any channel, 0..255."""

    def largest(rows: slice) -> int:
        return int(_absolute_change(before[rows], after[rows]).max())

    return max(over_bands(largest, len(before), reads=[before, after]))


def psnr(before: Pixels, after: Pixels) -> float | None:
    """Return the peak signal-to-noise ratio in dB; None (infinite) if nothing changed."""

    def squares(rows: slice) -> int:
        change = _absolute_change(before[rows], after[rows])
        return int(np.sum(np.square(change, dtype=np.uint16), dtype=np.uint64))

    total = sum(over_bands(squares, len(before), reads=[before, after]))
    if not total:
        return None
    return float(10 * math.log10(255.0**2 * before.size / total))


def ssim(before: Pixels, after: Pixels) -> float | None:
    """Return the mean structural similarity of luma, -1..1; None below 7x7 px.

    Wang et al. 2004 with a uniform 7x7 window, K1 = 0.01 and K2 = 0.03, as scikit-image's default.
    """
    height, width = before.shape[:2]
    if min(height, width) < _SSIM_WINDOW:
        return None
    overlap = _SSIM_WINDOW - 1

    def similarity(rows: slice) -> float:
        rows = slice(rows.start, rows.stop + overlap)
        return float(_ssim_map(before[rows] @ _LUMA, after[rows] @ _LUMA).sum(dtype=np.float64))

    total = sum(over_bands(similarity, height - overlap, reads=[before, after]))
    return total / float((height - overlap) * (width - overlap))


def change_mask(before: Pixels, after: Pixels, *, gain: int, max_side: int) -> Pixels:
    """Return the largest change of each pixel's channels times `gain`, clipped: uint8 (h, w).

    The mask is reduced by area averaging to at most `max_side` px on the longer side.
    """
    from PIL import Image

    height, width = before.shape[:2]
    change = np.empty((height, width), np.uint8)

    def write(rows: slice) -> None:
        red, green, blue = np.moveaxis(_absolute_change(before[rows], after[rows]), 2, 0)
        largest = np.maximum(np.maximum(red, green), blue).astype(np.uint16)
        change[rows] = np.minimum(largest * gain, 255)

    over_bands(write, height, reads=[before, after])
    scale = min(1.0, max_side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(change).resize(size, Image.Resampling.BOX))


def _absolute_change(before: Pixels, after: Pixels) -> Pixels:
    return np.maximum(before, after) - np.minimum(before, after)


def _ssim_map(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    count = _SSIM_WINDOW**2
    sample = np.float32(count / (count - 1))
    c1, c2 = np.float32((0.01 * 255) ** 2), np.float32((0.03 * 255) ** 2)
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    product, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    covariance = sample * (_window_mean(x * y) - product)
    variances = sample * (_window_mean(x * x + y * y) - squares)
    similarity: NDArray[np.float32] = (2 * product + c1) * (2 * covariance + c2)
    similarity /= (squares + c1) * (variances + c2)
    return similarity


def _window_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean over the window wherever it lies inside the picture."""
    edge = _SSIM_WINDOW // 2
    return window_mean(values, _SSIM_WINDOW)[edge:-edge, edge:-edge]
