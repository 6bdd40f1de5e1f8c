"""Small separable filters of planes, in NumPy alone: blurs, windows, octaves of a pyramid.

They work on the last two axes of float32 arrays (..., H, W) and continue the picture outside by its
border. Sums are of shifted planes in a fixed order, several times as fast as scipy.ndimage at
these sizes, and of positive values never below zero.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
PLACE = 4  # px; see `in_places`


def gaussian_blur(values: Array, deviation: float) -> Array:
    """Return the values under a Gaussian of `deviation` px, cut off at four deviations."""
    taps = gaussian_taps(deviation)
    return correlate(correlate(values, taps, axis=-1), taps, axis=-2)


@lru_cache(maxsize=16)
def gaussian_taps(deviation: float, reach: float = 4.0) -> tuple[float, ...]:
    """Return the half of a Gaussian kernel with the sum 1, from its middle on.

    It is cut off at `reach` deviations.
    """
    steps = range(max(1, math.ceil(reach * deviation)) + 1)
    taps = [math.exp(-(step**2) / (2 * deviation**2)) for step in steps]
    total = taps[0] + 2 * sum(taps[1:])
    return tuple(tap / total for tap in taps)


def correlate(values: Array, taps: tuple[float, ...], *, axis: int, mode: str = "edge") -> Array:
    """Correlate along an axis, -1 or -2, with a symmetric kernel, given from its middle on.

    `mode` is how the picture goes on outside: one of `numpy.pad`.
    """
    reach, side = len(taps) - 1, values.shape[axis]
    padded = _padded(values, reach, axis, mode)
    total: Array = np.multiply(_part(padded, axis, reach, side), np.float32(taps[0]))
    both = np.empty_like(total)
    for step in range(1, reach + 1):
        before, after = (_part(padded, axis, reach + way, side) for way in (-step, step))
        np.add(before, after, out=both)
        both *= np.float32(taps[step])
        total += both
    return total


def window_mean(values: Array, size: int) -> Array:
    """Return the means over windows of `size` x `size` px, an odd number."""
    sums = _over_windows(_over_windows(values, size, -2, np.add), size, -1, np.add)
    sums *= np.float32(1 / size**2)
    return sums


def window_minimum(values: Array, size: int) -> Array:
    """Return the least values in windows of `size` x `size` px, an odd number."""
    return _over_windows(_over_windows(values, size, -2, np.minimum), size, -1, np.minimum)


def in_places(values: Array, band: int) -> Array:
    """Return the means of a band's values, (H >> band, W >> band), over the places."""
    size = PLACE >> band
    if size == PLACE:
        return means_of_four_by_four(values)
    if size == 2:
        return _pair_sums(_pair_sums(values).T).T * np.float32(1 / 4)
    repeats = 2**band // PLACE
    if repeats == 1:
        return values
    return window_mean(values.repeat(repeats, 0).repeat(repeats, 1), repeats + 1)


def means_of_four_by_four(values: Array) -> Array:
    """Return the means of cells of 4 x 4 px, (H / 4, W / 4)."""
    rows = _pair_sums(_pair_sums(values))
    return _pair_sums(_pair_sums(rows.T)).T * np.float32(1 / 16)


def _pair_sums(values: Array) -> Array:
    return values[::2] + values[1::2]


def reduced(values: Array) -> Array:
    """Return every second row of an even number, after a binomial blur of five taps."""
    even, odd = values[::2], values[1::2]
    sides = odd.copy(order="K")
    sides[1:] += odd[:-1]
    sides[0] += even[0]
    sides *= np.float32(4)
    total = np.multiply(even, np.float32(6))
    total += sides
    total[1:] += even[:-1]
    total[0] += even[0]
    total[:-1] += even[1:]
    total[-1] += odd[-1]
    total *= np.float32(1 / 16)
    return total


def expanded(values: Array) -> Array:
    """Return twice as many rows, the adjoint blur of `reduced` but for the border."""
    spread = _empty_doubled(values)
    even, odd = spread[::2], spread[1::2]
    np.multiply(values, np.float32(6), out=even)
    even[1:] += values[:-1]
    even[0] += values[0]
    even[:-1] += values[1:]
    even[-1] += values[-1]
    even *= np.float32(1 / 8)
    odd[:] = values
    odd[:-1] += values[1:]
    odd[-1] += values[-1]
    odd *= np.float32(1 / 2)
    return spread


def _empty_doubled(values: Array) -> Array:
    """Return an array with twice the rows, and the same order in memory."""
    rows, columns = values.shape
    if values.flags.c_contiguous:
        return np.empty((2 * rows, columns), np.float32)
    return np.empty((columns, 2 * rows), np.float32).T


def _over_windows(values: Array, size: int, axis: int, join: np.ufunc) -> Array:
    """Join `size` neighbours along an axis: windows of 1, 2, 4, ... as its binary digits say."""
    side = values.shape[axis]
    doubled, width, covered = _padded(values, size // 2, axis, "edge"), 1, 1
    joined = np.array(_part(doubled, axis, 0, side))
    while covered < size:
        count = doubled.shape[axis] - width
        doubled = join(_part(doubled, axis, 0, count), _part(doubled, axis, width, count))
        width *= 2
        if size & width:
            join(joined, _part(doubled, axis, covered, side), out=joined)
            covered += width
    return joined


def _padded(values: Array, reach: int, axis: int, mode: str) -> Array:
    if mode == "edge":
        return continued(values, reach, axis)
    pads = [(0, 0)] * values.ndim
    pads[axis] = (reach, reach)
    # mypy cannot tell which of NumPy's modes a name is.
    return np.pad(values, pads, mode=mode)  # type: ignore[call-overload,no-any-return]


def continued(values: Array, reach: int, axis: int) -> Array:
    """Return values with `reach` more of the border on both sides of an axis, -1 or -2.

    What `np.pad` does by the mode "edge", which takes three times as long on small planes.
    """
    side, shape = values.shape[axis], list(values.shape)
    shape[axis] += 2 * reach
    padded = np.empty(shape, values.dtype)
    _part(padded, axis, reach, side)[...] = values
    if reach:
        _part(padded, axis, 0, reach)[...] = _part(values, axis, 0, 1)
        _part(padded, axis, reach + side, reach)[...] = _part(values, axis, side - 1, 1)
    return padded


def _part(values: Array, axis: int, start: int, count: int) -> Array:
    place = [slice(None)] * values.ndim
    place[axis] = slice(start, start + count)
    return values[tuple(place)]
