"""Estimate the share of replaced lowest bits by weighted stego, with its uncertainty.

A replaced bit moves a pixel towards the even or the odd neighbour value, never by any other step;
so the product of that direction with the pixel's distance from what its neighbours predict has a
mean of half the embedding rate, and a mean of zero on an untouched picture.

Method: J. Fridrich, M. Goljan, "On estimation of secret message length in LSB steganography in
spatial domain" (SPIE 2004); predictor, weights and bias correction of A. D. Ker, R. Boehme,
"Revisiting weighted stego-image steganalysis" (SPIE 2008). Where we differ: large pictures are
sampled on a grid, and the uncertainty is the spread between the grid's cells, not a noise model.

Not guaranteed: the estimate assumes replacement of single bits and a natural picture. Dithering,
palettes and heavy tone curves shift it; messages of a few hundred characters vanish in its noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
Values = NDArray[np.float32]

MIN_SIDE = 64  # px; below, too few cells say anything about the spread
_GRID = 8  # cells along each axis
_CELL_MAX_SIDE = 92  # px; larger cells are sampled in their middle, 0.54 megapixels in all
_NOISE_FLOOR = 5.0  # of the weights 1 / (floor + local variance), squared grey levels


@dataclass(frozen=True)
class EmbeddingRate:
    """An estimate for one channel.

    `rate` is the share of the channel's samples whose lowest bit was replaced by a random one, so
    half of them changed: 0 untouched, 1 full; noise makes it slightly negative or larger than 1.
    `uncertainty` is one standard error.
    """

    rate: float
    uncertainty: float

    @property
    def stands_out(self) -> bool:
        """Whether the rate is beyond what untouched pictures show (docs/analysis.md)."""
        return self.rate > 0.05 + 4 * self.uncertainty


def embedding_rates(pixels: NDArray[np.uint8]) -> tuple[EmbeddingRate, ...] | None:
    """Return one estimate a channel of `pixels`, uint8 (H, W, C); None under `MIN_SIDE` px."""
    if min(pixels.shape[:2]) < MIN_SIDE:
        return None
    cells = np.stack(list(_cells(pixels)))
    return tuple(_estimate(cells[..., channel].astype(np.int16)) for channel in range(3))


def _cells(pixels: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Yield the grid's cells, or their middles, all of one size (rows, columns, C)."""
    steps = [side // _GRID for side in pixels.shape[:2]]
    sides = [min(step, _CELL_MAX_SIDE) for step in steps]
    for row in range(_GRID):
        top = row * steps[0] + (steps[0] - sides[0]) // 2
        for column in range(_GRID):
            left = column * steps[1] + (steps[1] - sides[1]) // 2
            yield pixels[top : top + sides[0], left : left + sides[1]]


def _estimate(samples: Samples) -> EmbeddingRate:
    """`samples` is int16 (cells, rows, columns) of one channel."""
    inside = samples[:, 1:-1, 1:-1]
    direction = 2 * (samples & 1) - 1  # +1 where flipping the bit darkens, -1 where it brightens
    centre = direction[:, 1:-1, 1:-1]
    weights = 1 / (_NOISE_FLOOR + _local_variance(samples))
    # Four times the residual, and four times the predictor's answer to the flips themselves.
    residual = centre * (4 * inside - _predicted(samples))
    echo = centre * _predicted(direction)
    by_cell = [np.einsum("krc,krc->k", weights, term) for term in (residual, echo)]
    total = np.einsum("krc->k", weights)
    rates = by_cell[0] / 2  # 2 * (residual / 4)
    rate = float(rates.sum() / total.sum())
    correction = 1 + float(by_cell[1].sum() / total.sum()) / 4
    spread = float(np.sqrt(np.square(rates - rate * total).sum() * len(total) / (len(total) - 1)))
    return EmbeddingRate(rate * correction, abs(correction) * spread / float(total.sum()))


def _predicted(samples: Samples) -> Samples:
    """Return four times the prediction: twice the sides less the corners (Ker-Boehme)."""
    sides = samples[:, :-2, 1:-1] + samples[:, 2:, 1:-1]
    sides += samples[:, 1:-1, :-2]
    sides += samples[:, 1:-1, 2:]
    outer = samples[:, :-2] + samples[:, 2:]
    predicted: Samples = 2 * sides - outer[:, :, :-2] - outer[:, :, 2:]
    return predicted


def _local_variance(samples: Samples) -> Values:
    """Variance of the eight neighbours, grey levels squared.

    Without the pixel itself: a replaced bit would lower its own weight.
    """
    values = samples.astype(np.float32)
    mean = _sum_of_neighbours(values) / 8
    squares = _sum_of_neighbours(np.square(values)) / 8
    return np.maximum(squares - mean * mean, 0)


def _sum_of_neighbours(values: Values) -> Values:
    outer = values[:, :-2] + values[:, 2:]
    columns = outer + values[:, 1:-1]
    total: Values = columns[:, :, :-2] + columns[:, :, 2:]
    total += outer[:, :, 1:-1]
    return total
