"""The Haar wavelet hash as ImageHash 4.3.2 computes it with PyWavelets.

ImageHash takes a square of 2^n px a side, removes its mean by a full Haar transform and back, and
keeps the 8x8 low band of a second transform; a bit is 1 where a value exceeds the median. In
exact arithmetic that is a comparison of 8x8 block sums, which whole numbers answer in a fraction
of the time. Only where several blocks share the median (a white margin is enough) do the bits of
the library come from its rounding; those blocks alone are taken through the transforms as
PyWavelets rounds them, one block at a time.

Source: D. Petrov, "Wavelet image hash in Python" (2016); the Haar filters of PyWavelets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.analysis.hashes.luma_thumbnails import LumaThumbnails

Bits = NDArray[np.bool_]
Values = NDArray[np.float64]

_HASH_SIDE = 8
_C = 0.70710678118654752440  # both taps of the Haar filters, up to sign


def wavelet_hash(thumbnails: LumaThumbnails) -> Bits:
    """Return which of 8x8 blocks of the largest 2^n square exceed the median; bool (8, 8)."""
    side = max(1 << (min(thumbnails.image.size).bit_length() - 1), _HASH_SIDE)
    grey = thumbnails.square(side)
    block = side // _HASH_SIDE
    columns = grey.reshape(side, _HASH_SIDE, block).sum(2, dtype=np.int64)
    sums = columns.reshape(_HASH_SIDE, block, _HASH_SIDE).sum(1)
    low, high = np.sort(sums, axis=None)[31:33]
    bits: Bits = sums >= high
    return bits if low < high else _rounded_as_the_library(grey, sums, low)


def _rounded_as_the_library(grey: NDArray[np.uint8], sums: NDArray[np.int64], tie: int) -> Bits:
    block = len(grey) // _HASH_SIDE
    tiles = grey.reshape(_HASH_SIDE, block, _HASH_SIDE, block).swapaxes(1, 2)
    low_band = [_low_value(tile / 255.0) for row in tiles for tile in row]
    means = _restored(np.array(low_band).reshape(_HASH_SIDE, _HASH_SIDE), 0.0)
    # A last low value of zero removes the picture's mean, as in ImageHash.
    values = np.where(sums < tie, -np.inf, np.inf)
    for row, column in np.argwhere(sums == tie):
        restored = _restored(tiles[row, column] / 255.0, means[row, column])
        values[row, column] = _low_value(restored)
    bits: Bits = values > np.median(values)
    return bits


def _low_value(tile: Values) -> float:
    """Return the one low-pass value of a square tile of 2^k px a side."""
    while len(tile) > 1:
        tile = _low(_low(tile).T).T
    return float(tile[0, 0])


def _restored(tile: Values, low_value: float) -> Values:
    """Return the tile transformed to the end and back, with its last low value replaced."""
    details = []
    while len(tile) > 1:
        low, high = _low(tile), _high(tile)
        tile = _low(low.T).T
        details.append((_high(low.T).T, _low(high.T).T, _high(high.T).T))
    tile = np.full((1, 1), low_value)
    for low_high, high_low, high_high in reversed(details):
        low = _joined(tile.T, low_high.T).T
        high = _joined(high_low.T, high_high.T).T
        tile = _joined(low, high)
    return tile


def _low(values: Values) -> Values:
    return _C * values[1::2] + _C * values[::2]


def _high(values: Values) -> Values:
    return _C * values[::2] - _C * values[1::2]


def _joined(low: Values, high: Values) -> Values:
    joined = np.empty((2 * len(low), low.shape[1]))
    joined[::2] = _C * low + _C * high
    joined[1::2] = _C * low - _C * high
    return joined
