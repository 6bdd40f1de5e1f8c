"""Average, perceptual and difference hash as ImageHash 4.3.2 computes them, and dhash 1.4's two.

All take thumbnails of a picture and return bool arrays (8, 8).

Sources: N. Krawetz, "Looks Like It" (2011) and "Kind of Like That" (2013), hackerfactor.com;
B. Hoyt, "Duplicate image detection with perceptual hashing in Python" (2017).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.analysis.hashes.luma_thumbnails import LumaThumbnails

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]

_HASH_SIDE = 8
_DCT_SIDE = 32  # px; four times the hash's side
_PI = np.longdouble("3.14159265358979323846264338327950288")


def average_hash(thumbnails: LumaThumbnails) -> Bits:
    """Return which of 8x8 pixels are brighter than their mean."""
    grey = thumbnails.square(_HASH_SIDE)
    bits: Bits = grey > grey.mean()
    return bits


def perceptual_hash(thumbnails: LumaThumbnails) -> Bits:
    """Return which of the 8x8 lowest DCT-II coefficients of 32x32 pixels exceed their median."""
    grey = thumbnails.square(_DCT_SIDE)
    coefficients = cosine_transform(grey)[:_HASH_SIDE, :_HASH_SIDE]
    bits: Bits = coefficients > np.median(coefficients)
    return bits


def difference_hash(thumbnails: LumaThumbnails) -> Bits:
    """Return which of 8x9 pixels are brighter than their left neighbour."""
    grey = thumbnails.eight_by_nine
    bits: Bits = grey[:, 1:] > grey[:, :-1]
    return bits


def row_and_column_hash(thumbnails: LumaThumbnails) -> tuple[Bits, Bits]:
    """Return which of 9x9 pixels are darker than the next one along the row, and the column."""
    grey = thumbnails.nine_by_nine_over_white
    corner = grey[:_HASH_SIDE, :_HASH_SIDE]
    return corner < grey[:_HASH_SIDE, 1:], corner < grey[1:, :_HASH_SIDE]


def cosine_transform(square: NDArray[np.generic]) -> Floats:
    """Return the unscaled DCT-II of an array (n, n), n even, along both axes.

    By one Fourier transform of the same length, with SciPy's order of the same operations: on
    pictures of one colour the bits are rounding noise, and so the same noise as ImageHash's.
    """
    columns = _along_rows(np.array(square, np.float64).T).T
    return _along_rows(columns)


def _along_rows(values: Floats) -> Floats:
    length = values.shape[1]
    folded = values.copy()
    folded[:, [0, -1]] *= 2
    folded[:, 2::2] = values[:, 2::2] - values[:, 1:-1:2]
    folded[:, 1:-1:2] = values[:, 2::2] + values[:, 1:-1:2]
    spectrum = np.zeros((len(values), length // 2 + 1), np.complex128)
    spectrum.real = np.hstack([folded[:, :1], folded[:, 1::2]])
    spectrum.imag[:, 1:-1] = folded[:, 2::2]
    result = np.fft.irfft(spectrum, length, axis=1, norm="forward")
    turns, low = _turns(length), np.arange(1, length // 2)
    high = length - low
    a, b = result[:, low], result[:, high]
    sums = turns[low - 1] * b + turns[high - 1] * a
    differences = turns[low - 1] * a - turns[high - 1] * b
    result[:, low], result[:, high] = 0.5 * (sums + differences), 0.5 * (sums - differences)
    result[:, length // 2] *= turns[length // 2 - 1]
    return result


@lru_cache(maxsize=1)
def _turns(length: int) -> Floats:
    """Return the cosines of 1 to length - 1 quarter turns over the length."""
    angles = np.arange(1, length, dtype=np.longdouble) * _PI / (2 * length)
    return np.cos(angles).astype(np.float64)
