"""The block mean value hash as phash-blockhashio 0.1.4 (blockhash.io) computes it.

Method: B. Yang, F. Gu, X. Niu, "Block Mean Value Based Image Perceptual Hashing" (IIH-MSP 2006),
method 1, as blockhash.io defines it: the sum R + G + B of a block is compared with the median of
its band of a quarter of the blocks; a pixel across a block border is shared between both blocks.

Both sizes come from one pass: rows of equal weight are added as whole numbers first, what remains
are two small matrix products. Those round differently than the library, which adds pixel by pixel;
where a bit could depend on that, the library's own order of additions is followed. So every bit is
the library's; a picture with such ties (one dark colour, sides not divisible by 16) costs a few
times more, and is still linear in its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]
Pixels = NDArray[np.uint8]
Values = NDArray[np.float64]

SIDES = (8, 16)  # blocks along each axis
_BANDS = 4
_ROWS_PER_SUM = 256  # rows of 8 bits whose sum fits 16 bits
_BRIGHTEST = 256 * 3  # the library's idea of a white pixel, for the middle of the range
_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class _Shares:
    """The pixels `span` along one axis touch a block; two weights for each, in that order."""

    span: slice
    weights: tuple[Values, Values]


@dataclass(frozen=True)
class _Axis:
    """The assignment of pixels along one axis to two blocks each, with their weights."""

    blocks: int
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    first_weight: Values
    second_weight: Values

    @property
    def even(self) -> bool:
        """Whether no pixel lies across a border."""
        return len(self.first) % self.blocks == 0

    def matrix(self) -> Values:
        """Return the weights as float64 (blocks, pixels)."""
        weights = np.zeros((self.blocks, len(self.first)))
        pixels = np.arange(len(self.first))
        np.add.at(weights, (self.first, pixels), self.first_weight)
        np.add.at(weights, (self.second, pixels), self.second_weight)
        return weights

    def shares(self, block: int) -> _Shares:
        """Return the pixels that touch `block` and what they give it."""
        inside = np.flatnonzero((self.first == block) | (self.second == block))
        span = slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0)
        first = np.where(self.first[span] == block, self.first_weight[span], 0.0)
        second = np.where(self.second[span] == block, self.second_weight[span], 0.0)
        return _Shares(span, (first, second))


def block_mean_hashes(pixels: Pixels, alpha: Pixels | None) -> dict[int, Bits]:
    """Return the hash of each of `SIDES` as bool (side, side).

    `pixels` is uint8 (H, W, 3); where `alpha`, uint8 (H, W) or None, is 0, a pixel counts as white.
    """
    height, width = pixels.shape[:2]
    rows = {side: _axis(height, side) for side in SIDES}
    columns = {side: _axis(width, side) for side in SIDES}
    starts = _row_groups(rows)
    sums = _grouped_row_sums(pixels, alpha, starts)
    hashes = {}
    for side in SIDES:
        across = sums @ columns[side].matrix().T
        blocks = rows[side].matrix()[:, starts] @ across
        if not (rows[side].even and columns[side].even) and _may_round_otherwise(blocks, pixels):
            blocks = _added_as_the_library(pixels, alpha, rows[side], columns[side])
        hashes[side] = _bits(blocks, height * width / side**2)
    return hashes


def _axis(length: int, blocks: int) -> _Axis:
    pixel = np.arange(length)
    size = length / blocks
    first = (pixel // size).astype(np.intp)
    if length % blocks == 0:
        return _Axis(blocks, first, first, np.ones(length), np.zeros(length))
    fraction, whole = np.modf((pixel + 1) % size)
    inside = (whole > 0) | (pixel + 1 == length)
    second = np.where(inside, first, -(-pixel // size)).astype(np.intp)
    return _Axis(blocks, first, second, 1 - fraction, fraction)


def _row_groups(rows: dict[int, _Axis]) -> NDArray[np.intp]:
    """Return the first rows of runs of at most `_ROWS_PER_SUM` rows of equal weight."""
    starts = {0}
    length = 0
    for axis in rows.values():
        length = len(axis.first)
        shared = (axis.first != axis.second) & (axis.second_weight > 0)
        turns = np.flatnonzero((np.diff(axis.first) != 0) | shared[1:] | shared[:-1])
        starts.update((turns + 1).tolist())
    starts.update(range(0, length, _ROWS_PER_SUM))
    return np.array(sorted(starts), np.intp)


def _grouped_row_sums(pixels: Pixels, alpha: Pixels | None, starts: NDArray[np.intp]) -> Values:
    """R + G + B of the columns, summed over each run of rows; float64 (runs, W), whole numbers."""
    height, width = pixels.shape[:2]
    sums = np.empty((len(starts), width))
    for run, (start, stop) in enumerate(zip(starts, [*starts[1:], height], strict=True)):
        band = _opaque(pixels[start:stop], None if alpha is None else alpha[start:stop])
        columns = np.add.reduce(band.reshape(stop - start, -1), axis=0, dtype=np.uint16)
        sums[run] = columns.reshape(width, 3).sum(1)
    return sums


def _opaque(pixels: Pixels, alpha: Pixels | None) -> Pixels:
    if alpha is None or alpha.all():
        return pixels
    return np.where((alpha == 0)[..., None], np.uint8(255), pixels)


def _may_round_otherwise(blocks: Values, pixels: Pixels) -> bool:
    """Return whether rounding could flip a bit: a bound on it, for sums of that many terms."""
    height, width = pixels.shape[:2]
    terms = 4 * (height / len(blocks) + 2) * (width / len(blocks) + 2)
    slack = 2 * terms * _EPSILON * float(blocks.max())
    values = blocks.reshape(_BANDS, -1)
    medians = np.median(values, axis=1, keepdims=True)
    distance = np.abs(values - medians)
    middle = height * width / blocks.size * _BRIGHTEST / 2
    bright = medians > middle + slack
    # A tie is settled when all is exactly zero, or when the middle of the range decides it.
    tied = (distance <= slack) & ~(bright & (slack < 1)) & ((values > 0) | (medians > 0))
    borderline = (np.abs(distance - 1) <= slack) & (medians > middle - slack)
    undecided = (np.abs(medians - middle) <= slack) & (distance < 1 + slack)
    return bool((tied | borderline | undecided).any())


def _added_as_the_library(
    pixels: Pixels, alpha: Pixels | None, rows: _Axis, columns: _Axis
) -> Values:
    """Return the sums with the library's rounding: pixel after pixel, four shares of each."""
    blocks = np.zeros((rows.blocks, columns.blocks))
    for row in range(rows.blocks):
        across = rows.shares(row)
        band = _opaque(pixels[across.span], None if alpha is None else alpha[across.span])
        values = band[..., 0].astype(np.float64) + band[..., 1] + band[..., 2]
        for column in range(columns.blocks):
            blocks[row, column] = _block_sum(values, across, columns.shares(column))
    return blocks


def _block_sum(values: Values, across: _Shares, along: _Shares) -> float:
    inside = values[:, along.span]
    # Shares of other blocks are zero here, and adding zero rounds nothing.
    terms = np.empty((*inside.shape, 4))
    for place, (upper_lower, left_right) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        weighted = inside * across.weights[upper_lower][:, None]
        np.multiply(weighted, along.weights[left_right], out=terms[..., place])
    # Unlike `sum`, which adds in pairs, this adds one after the other.
    return float(np.add.accumulate(terms.ravel())[-1]) if terms.size else 0.0


def _bits(blocks: Values, pixels_per_block: float) -> Bits:
    values = blocks.reshape(_BANDS, -1)
    medians = np.median(values, axis=1, keepdims=True)
    # Where a dark or a bright colour fills a band, equal blocks take the side of its colour.
    bright = medians > pixels_per_block * _BRIGHTEST / 2
    bits: Bits = (values > medians) | ((np.abs(values - medians) < 1) & bright)
    return bits.reshape(blocks.shape)
