"""Find where a mark's tiles lie: their position, and in a picture that was bent, their grid.

Both compare the picture with the mark's pilots, the waves that are always sent alike.
`find_positions` tries every shift of a folded picture in all eight orientations (four quarter
turns, mirrored or not). `find_grids` also tries sizes and small rotations: it takes the picture's
Fourier transform once and reads off the pilots wherever a size and an angle would put them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from artscraper_runner.watermarks.carriers import TILE_PX, layout
from artscraper_runner.watermarks.folding import fast_length

Floats = npt.NDArray[np.float32]
Complexes = npt.NDArray[np.complex64]
Matrices = npt.NDArray[np.float64]  # (n, 2, 2) or one (2, 2)

# Tile's side at the reference size over TILE_PX: below 1 the picture was pasted into a larger one,
# above 1 it was cropped; 2 = half of the short side is left.
SMALLEST_PASTED_SCALE = 0.48
SMALLEST_SCALE = 0.78  # of stretched pictures
LARGEST_SCALE = 2.0
TILTED_SCALES = (0.96, 1.25)  # rotated pictures keep their canvas, grow or lose their corners
LARGEST_TILT = 4.0  # degrees
_STEP = 0.005  # relative size, or radians: a pixel at the far corner of a picture
_SUBPIXEL = np.arange(-0.75, 0.76, 0.25)
_BATCH = 32


@dataclass(frozen=True)
class Position:
    """A way to lay the tile over a folded picture; `spectrum` is turned and shifted to match.

    `score` is the correlation with the pilots in standard deviations of those of other shifts.
    """

    spectrum: Complexes
    score: float


@dataclass(frozen=True)
class Grid:
    """The position of tiles in a picture: `matrix` (2, 2) maps (row, column) in a tile to px of it.

    `score` as in `Position`, over all shifts.
    """

    matrix: Matrices
    score: float


def find_positions(spectrum: Complexes, *, least_score: float) -> list[Position]:
    """Return the best position of each orientation with at least that score, the best first."""
    waves = layout()
    index, phase = waves.index[waves.is_pilot], waves.phase[waves.is_pilot].conj()
    orientations = list(_orientations(spectrum))
    pilots = np.stack([turned.ravel()[index] for turned in orientations]) * phase
    same, other = _correlations(pilots)
    positions = []
    for turned, correlation in zip(
        orientations, np.concatenate([same + other, same - other], axis=2), strict=True
    ):
        best = int(correlation.argmax())
        score = float((correlation.flat[best] - correlation.mean()) / (correlation.std() + 1e-12))
        if score >= least_score:
            positions.append(Position(_shifted(turned, *divmod(best, TILE_PX)), score))
    return sorted(positions, key=lambda position: -position.score)


def whole_positions(
    spectrum: Complexes, height: int, width: int, *, least_score: float
) -> list[Position]:
    """Return the positions of a picture of that size (px) that was not cropped, the best first.

    One for each orientation whose pilots add up to `least_score` standard deviations of noise.
    """
    positions = []
    for turned, (row, column) in zip(_orientations(spectrum), _corners(height, width), strict=True):
        values, turns = _pilots_moved(turned, np.array([row]), np.array([column]))
        noise = float(np.sqrt(np.square(np.abs(values)).sum() / 2))
        score = float((turns @ values).real[0]) / (noise + 1e-12)
        if score >= least_score:
            positions.append(Position(_moved(turned, row, column), score))
    return sorted(positions, key=lambda position: -position.score)


def find_grids(
    evened: Floats, *, least_score: float, strong_score: float, most: int
) -> Iterator[Grid]:
    """Yield likely grids of tiles in float32 (h, w), at most `most` upright and `most` tilted.

    Upright ones that reach `strong_score` come first; tilted ones, whose search takes longer, are
    looked for only when those were not enough.
    """
    transform = _Transform.of(evened)
    upright = transform.likeliest(_upright(), most)
    yield from (grid for grid in upright if grid.score >= strong_score)
    others = [grid for grid in upright if grid.score < strong_score]
    others += transform.likeliest(_tilted(), most)
    others.sort(key=lambda grid: -grid.score)
    yield from (grid for grid in others if grid.score >= least_score)


def straightened(luma: Floats, matrix: Matrices) -> tuple[Floats, Floats]:
    """Return luma with its tiles upright and TILE_PX large, and 1 where that shows the picture.

    `luma` is float32 (h, w), `matrix` as in `Grid` for a picture of its size.
    """
    height, width = luma.shape
    corners = np.linalg.inv(matrix) @ np.array([[0, 0, height, height], [0, width, 0, width]])
    least = corners.min(axis=1)
    rows, columns = (int(side) for side in np.ceil(corners.max(axis=1) - least))
    top, left = matrix @ least
    affine = (matrix[1, 1], matrix[1, 0], left, matrix[0, 1], matrix[0, 0], top)
    inner = np.zeros((height, width), np.uint8)
    inner[6:-6, 6:-6] = 1  # the picture's edge rings in the filters
    size, kind = (columns, rows), Image.Transform.AFFINE
    turned = Image.fromarray(luma).transform(
        size, kind, affine, Image.Resampling.BICUBIC, fillcolor=float(luma.mean())
    )
    inside = Image.fromarray(inner).transform(size, kind, affine)
    return np.asarray(turned), np.asarray(inside, np.float32)


@dataclass(frozen=True)
class _Transform:
    """A picture's Fourier transform `values` about its centre, twice as fine as its size asks for.

    Frequencies are rows 0 to 1 (cycles a px, wrapped) and columns 0 to 0.5; every ring has mean
    power 1.
    """

    values: Complexes

    @classmethod
    def of(cls, evened: Floats) -> _Transform:
        above, before = (side // 2 for side in evened.shape)
        height, width = (fast_length(2 * side) for side in evened.shape)
        wide = np.zeros((len(evened), width), np.float32)
        wide[:, : evened.shape[1] - before] = evened[:, before:]
        wide[:, width - before :] = evened[:, :before]
        rows = np.fft.rfft(wide)
        centred = np.zeros((height, rows.shape[1]), np.complex64)
        centred[: len(rows) - above] = rows[above:]
        centred[height - above :] = rows[:above]
        values = np.asarray(np.fft.fft(centred, axis=0), np.complex64)
        radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
        ring = (radius * TILE_PX).astype(np.intp)
        power = np.bincount(ring.ravel(), np.square(np.abs(values)).ravel())
        mean = power / np.maximum(np.bincount(ring.ravel()), 1)
        values *= (1 / np.sqrt(mean + 1e-9)).astype(np.float32)[ring]
        return cls(values)

    def likeliest(self, matrices: Matrices, most: int) -> list[Grid]:
        """Return the `most` best grids near any of the matrices (n, 2, 2), the best first."""
        scores, shifts = self._search(matrices)
        kept: list[int] = []
        for at in np.argsort(-scores)[: 16 * most]:
            apart = [np.abs(matrices[at] - matrices[other]).max() > 3 * _STEP for other in kept]
            if all(apart):
                kept.append(int(at))
        return [self._refined(matrices[at], shifts[at]) for at in kept[:most]]

    def _search(self, matrices: Matrices) -> tuple[Floats, npt.NDArray[np.intp]]:
        """Return the score (n,) and best shift (n, 2) in px of a tile, for matrices (n, 2, 2)."""
        scores, shifts = [], []
        for first in range(0, len(matrices), _BATCH):
            pilots = self._pilots(matrices[first : first + _BATCH])
            sums, swings = _correlations(pilots)
            sums += np.abs(swings)  # the better of both halves
            correlation = sums.reshape(len(pilots), -1)
            best = correlation.argmax(axis=1)
            each = np.arange(len(best))
            noise = np.sqrt(2 * np.square(np.abs(pilots)).sum(axis=1)) / TILE_PX**2
            scores.append(correlation[each, best] / (noise + 1e-12))
            row, column = np.divmod(best, TILE_PX // 2)
            is_right = swings.reshape(correlation.shape)[each, best] < 0
            shifts.append(np.stack([row, column + is_right * (TILE_PX // 2)], axis=1))
        return np.concatenate(scores), np.concatenate(shifts)

    def _pilots(self, matrices: Matrices) -> Complexes:
        """Return the pilots (n, pilots) that the picture has in grids of matrices (n, 2, 2)."""
        waves = layout()
        chosen = waves.is_pilot
        waves_per_px = np.stack([waves.rows[chosen], waves.columns[chosen]]) / TILE_PX
        turned = np.swapaxes(np.linalg.inv(matrices), 1, 2) @ waves_per_px
        frequency: Floats = turned.astype(np.float32)
        return self._at(frequency[:, 0], frequency[:, 1]) * waves.phase[chosen].conj()

    def _refined(self, matrix: Matrices, shift: npt.NDArray[np.intp]) -> Grid:
        """Return the grid near `matrix` that matches best, with all four entries free."""
        waves = layout()
        rows, columns = waves.rows[waves.is_pilot], waves.columns[waves.is_pilot]
        turn = np.exp(2j * np.pi / TILE_PX * (shift[0] * rows + shift[1] * columns))
        moves = np.concatenate([np.zeros((1, 4)), np.eye(4), -np.eye(4)]).reshape(-1, 2, 2)
        step = _STEP / 2
        while step > _STEP / 20:
            near = matrix + step * moves
            scores = (self._pilots(near) @ turn).real
            best = int(scores.argmax())
            matrix = near[best]
            if best == 0:
                step /= 2
        pilots = self._pilots(matrix[None])[0]
        noise = np.sqrt(np.square(np.abs(pilots)).sum() / 2)
        return Grid(matrix, float((pilots @ turn).real / (noise + 1e-12)))

    def _at(self, rows: Floats, columns: Floats) -> Complexes:
        """Return the transform between its samples, linearly; 0 above half a cycle a px."""
        mirrored = columns < 0
        rows, columns = np.where(mirrored, -rows, rows), np.abs(columns)
        height, width = self.values.shape
        inside = (np.abs(rows) < 0.48) & (columns < 0.48)
        y = np.where(inside, rows, 0) * height
        x = np.where(inside, columns, 0) * (2 * (width - 1))
        top, left = np.floor(y), np.floor(x)
        lower, right = y - top, x - left
        row, column = top.astype(np.int32) % height, left.astype(np.int32)
        samples, values = self.values.ravel(), np.zeros(rows.shape, np.complex64)
        for near, weight in ((row, 1 - lower), ((row + 1) % height, lower)):
            index = near * width + column
            values += weight * (1 - right) * samples[index]
            values += weight * right * samples[index + 1]
        np.conjugate(values, out=values, where=mirrored)
        values[~inside] = 0
        return values


@lru_cache(maxsize=1)
def _upright() -> Matrices:
    """Return every size, and every stretch of one axis alone."""
    sizes = np.exp(np.arange(np.log(SMALLEST_SCALE), np.log(LARGEST_SCALE), _STEP))
    pasted = np.exp(np.arange(np.log(SMALLEST_PASTED_SCALE), np.log(SMALLEST_SCALE), _STEP))
    one = np.ones_like(sizes)
    tall = np.concatenate([pasted, sizes, sizes, one])
    wide = np.concatenate([pasted, sizes, one, sizes])
    return np.concatenate([_matrices(tall, wide, 0.0, mirror) for mirror in (1.0, -1.0)])


@lru_cache(maxsize=1)
def _tilted() -> Matrices:
    """Return every small angle at every size that turning leaves."""
    sizes = np.exp(np.arange(np.log(TILTED_SCALES[0]), np.log(TILTED_SCALES[1]), _STEP))
    angles = np.arange(-np.radians(LARGEST_TILT), np.radians(LARGEST_TILT) + _STEP / 2, _STEP)
    return np.concatenate(
        [_matrices(sizes, sizes, angle, mirror) for angle in angles for mirror in (1.0, -1.0)]
    )


def _matrices(
    tall: npt.NDArray[np.float64], wide: npt.NDArray[np.float64], angle: float, mirror: float
) -> Matrices:
    """Return (n, 2, 2): tiles stretched (n,), perhaps mirrored, then turned by radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    rows = np.stack([tall * cosine, -wide * sine * mirror], axis=1)
    columns = np.stack([tall * sine, wide * cosine * mirror], axis=1)
    return np.stack([rows, columns], axis=1)


def _correlations(pilots: Complexes) -> tuple[Floats, Floats]:
    """Return what pilots (n, pilots) add up to at every shift, in two parts.

    Both are float32 (n, TILE_PX, TILE_PX / 2), of the even and of the odd columns of frequencies:
    their sum is the correlation in the left half of a tile, their difference that in the right one.
    """
    waves = layout()
    rows = waves.rows[waves.is_pilot].astype(np.intp)
    columns = waves.columns[waves.is_pilot].astype(np.intp)
    even, odd = _column_waves(0), _column_waves(1)
    places = columns // 2 + columns % 2 * (len(even) // 2)  # the even columns come first
    spectra = np.zeros((len(pilots), TILE_PX, (len(even) + len(odd)) // 2), np.complex64)
    spectra[:, rows, places] = pilots
    parts = np.fft.ifft(spectra, axis=1).view(np.float32)
    return parts[..., : len(even)] @ even, parts[..., len(even) :] @ odd


@lru_cache(maxsize=2)
def _column_waves(first: int) -> Floats:
    """Return what the pilots' columns `first`, `first` + 2, ... add to the left half of a tile.

    float32 (2 * columns, TILE_PX / 2): factors of the real and the imaginary part of each column.
    """
    columns = np.arange(first, layout().columns[layout().is_pilot].max() + 1, 2)
    angles = 2 * np.pi / TILE_PX * columns[:, None] * np.arange(TILE_PX // 2)
    factors = np.stack([np.cos(angles), -np.sin(angles)], axis=1) * (2 / TILE_PX)
    return factors.reshape(-1, TILE_PX // 2).astype(np.float32)


def _orientations(spectrum: Complexes) -> Iterator[Complexes]:
    """Yield the spectra of the tile turned by 0, 90, 180 and 270 degrees, then of its mirror."""
    mirrored = np.roll(spectrum[:, ::-1], 1, axis=1)
    for start in (spectrum, mirrored):
        turned = start
        for _ in range(4):
            yield turned
            turned = np.roll(turned.T[:, ::-1], 1, axis=1)


def _corners(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield (row, column) of the upper left pixel of a picture turned as by `_orientations`.

    Turns are about the first pixel, as the spectrum's are.
    """
    last = np.array([height - 1, width - 1])
    for mirror in (1, -1):
        turned = np.array([[1, 0], [0, mirror]])
        for _ in range(4):
            row, column = np.minimum(turned @ last, 0)
            yield int(row), int(column)
            turned = np.array([[0, 1], [-1, 0]]) @ turned


def _shifted(spectrum: Complexes, row: float, column: float) -> Complexes:
    """Move the tile back by (row, column) px, refined to a quarter of a pixel by the pilots."""
    rows, columns = (grid.ravel() for grid in np.meshgrid(row + _SUBPIXEL, column + _SUBPIXEL))
    values, turns = _pilots_moved(spectrum, rows, columns)
    best = int((turns @ values).real.argmax())
    return _moved(spectrum, rows[best], columns[best])


def _pilots_moved(
    spectrum: Complexes, rows: npt.NDArray[Any], columns: npt.NDArray[Any]
) -> tuple[Complexes, Complexes]:
    """Return the pilots (pilots,) in their phases, and what moving by each (row, column) px turns.

    The turns are (n, pilots) for n moves.
    """
    waves = layout()
    pilots = waves.is_pilot
    values = spectrum.ravel()[waves.index[pilots]] * waves.phase[pilots].conj()
    turns = np.outer(rows, waves.rows[pilots]) + np.outer(columns, waves.columns[pilots])
    return values, np.exp(2j * np.pi / TILE_PX * turns)


def _moved(spectrum: Complexes, row: float, column: float) -> Complexes:
    """Move the tile back by (row, column) px."""
    frequency = np.fft.fftfreq(TILE_PX)
    turn = row * frequency[:, None] + column * frequency[None, :]
    moved: Complexes = (spectrum * np.exp(2j * np.pi * turn)).astype(np.complex64)
    return moved
