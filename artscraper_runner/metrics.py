"""How far a picture is from its original: Linf, PSNR and SSIM.

All take uint8 arrays (H, W, 3) of one size, and work in bands of rows, so that a 50-megapixel
pair needs little memory beyond itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
_BAND_ROWS = 64  # a band of a large picture stays in the processor's cache
_SSIM_WINDOW = 7  # px; uniform window and sample covariance, as scikit-image computes it
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def linf(before: Pixels, after: Pixels) -> int:
    """Returns the largest change of any channel, 0..255."""
    return max(int(_absolute_change(a, b).max()) for a, b in _bands(before, after))


def psnr(before: Pixels, after: Pixels) -> float | None:
    """Returns the peak signal-to-noise ratio in dB; None when nothing changed (infinite)."""
    squares = 0.0
    for a, b in _bands(before, after):
        change = _absolute_change(a, b)
        squares += float(np.sum(np.square(change, dtype=np.uint16), dtype=np.uint64))
    if not squares:
        return None
    return float(10 * math.log10(255.0**2 * before.size / squares))


def ssim(before: Pixels, after: Pixels) -> float | None:
    """Returns the mean structural similarity of luma, -1..1; None under 7x7 px.

    Wang et al. 2004, with a uniform 7x7 window and K1 = 0.01, K2 = 0.03 (scikit-image's default).
    """
    height, width = before.shape[:2]
    if min(height, width) < _SSIM_WINDOW:
        return None
    total = 0.0
    overlap = _SSIM_WINDOW - 1
    for top in range(0, height - overlap, _BAND_ROWS):
        rows = slice(top, min(top + _BAND_ROWS + overlap, height))
        total += float(_ssim_map(before[rows] @ _LUMA, after[rows] @ _LUMA).sum(dtype=np.float64))
    return total / float((height - overlap) * (width - overlap))


def change_mask(before: Pixels, after: Pixels, *, gain: int, max_side: int) -> Pixels:
    """Returns uint8 (h, w): the largest change of a pixel's channels times `gain`, clipped to 255.

    Shrunk by area averaging to at most `max_side` px on the long side.
    """
    from PIL import Image

    height, width = before.shape[:2]
    change = np.empty((height, width), np.uint8)
    row = 0
    for a, b in _bands(before, after):
        red, green, blue = np.moveaxis(_absolute_change(a, b), 2, 0)
        largest = np.maximum(np.maximum(red, green), blue).astype(np.uint16)
        change[row : row + len(a)] = np.minimum(largest * gain, 255)
        row += len(a)
    scale = min(1.0, max_side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(change).resize(size, Image.Resampling.BOX))


def _bands(before: Pixels, after: Pixels) -> Iterator[tuple[Pixels, Pixels]]:
    if before.shape != after.shape:
        raise ValueError(f"expected pictures of one size, got {before.shape} and {after.shape}")
    for top in range(0, len(before), _BAND_ROWS):
        yield before[top : top + _BAND_ROWS], after[top : top + _BAND_ROWS]


def _absolute_change(before: Pixels, after: Pixels) -> Pixels:
    return np.maximum(before, after) - np.minimum(before, after)


def _ssim_map(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
    count = _SSIM_WINDOW**2
    sample = np.float32(count / (count - 1))
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    var_x = sample * (_window_mean(x * x) - mean_x * mean_x)
    var_y = sample * (_window_mean(y * y) - mean_y * mean_y)
    covariance = sample * (_window_mean(x * y) - mean_x * mean_y)
    c1, c2 = np.float32((0.01 * 255) ** 2), np.float32((0.03 * 255) ** 2)
    similarity: NDArray[np.floating[Any]] = (
        (2 * mean_x * mean_y + c1)
        * (2 * covariance + c2)
        / ((mean_x * mean_x + mean_y * mean_y + c1) * (var_x + var_y + c2))
    )
    return similarity


def _window_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over the window at every place where it lies wholly inside."""
    across = _sums_of_seven(_sums_of_seven(values).T).T
    return across * np.float32(1 / _SSIM_WINDOW**2)


def _sums_of_seven(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums of seven rows in a row, by doubling: 1 + 2 + 4, a third of the additions."""
    twos = values[:-1] + values[1:]
    fours = twos[:-2] + twos[2:]
    sevens: NDArray[np.float32] = values[:-6] + twos[1:-4] + fours[3:]
    return sevens
