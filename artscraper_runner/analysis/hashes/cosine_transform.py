"""The DCT-II by one Fourier transform of the same length, in the order of SciPy's.

On pictures of one colour the hashes' bits are rounding noise; the same order of the same operations
gives the same noise as libraries that call SciPy.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_PI = np.longdouble("3.14159265358979323846264338327950288")


def cosine_transform(square: NDArray[np.generic]) -> Floats:
    """Return the unscaled DCT-II of an array (n, n), n even, along both axes."""
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
