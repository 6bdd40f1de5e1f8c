"""The keyed waves that make up the watermark's tile, and how a folded picture is read by them.

A tile is TILE_PX x TILE_PX and repeats without a seam. Its waves are whole-numbered frequencies
(half of the plane; the other half is its mirror) between `LOWEST` and `HIGHEST` cycles a tile,
each with a random but fixed phase. One in six is a pilot, always sent with the same sign: pilots
find the tile's position and measure how well each frequency survived. The others carry code bits,
dealt out by rising frequency so that every code bit has waves of every frequency.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Complexes = npt.NDArray[np.complex64]
Indices = npt.NDArray[np.intp]

TILE_PX = 128
LOWEST = 4.5  # cycles a tile
HIGHEST = 30.0
PILOT_EVERY = 6
ZONES = 8  # rings of equally many waves, each judged by its own pilots
_LAYOUT_SEED = 0x41525453  # public: anyone with this file can read the mark


@dataclass(frozen=True)
class Layout:
    """The waves, by rising frequency.

    `index` (n,) are flat places in a TILE_PX x TILE_PX spectrum, `phase` (n,) complex units,
    `radius` (n,) cycles a tile, `rows` and `columns` (n,) signed frequencies, `zone` (n,)
    0..ZONES-1, `is_pilot` (n,) bool.
    """

    index: Indices
    phase: Complexes
    radius: Floats
    rows: Floats
    columns: Floats
    zone: Indices
    is_pilot: npt.NDArray[np.bool_]


@cache
def layout() -> Layout:
    """Return the one layout that every mark uses."""
    random = np.random.default_rng(_LAYOUT_SEED)
    frequency = np.fft.fftfreq(TILE_PX, 1 / TILE_PX).astype(np.float32)
    rows, columns = (grid.ravel() for grid in np.meshgrid(frequency, frequency, indexing="ij"))
    radius = np.hypot(rows, columns)
    half = (columns > 0) | ((columns == 0) & (rows > 0))
    index = np.flatnonzero(half & (radius >= LOWEST) & (radius <= HIGHEST))
    index = index[np.lexsort((random.random(index.size), radius[index]))]
    count = index.size
    is_pilot = np.zeros(count, np.bool_)
    starts = np.arange(0, count - PILOT_EVERY, PILOT_EVERY)
    is_pilot[starts + random.integers(0, PILOT_EVERY, starts.size)] = True
    return Layout(
        index=index,
        phase=np.exp(2j * np.pi * random.random(count)).astype(np.complex64),
        radius=radius[index],
        rows=rows[index],
        columns=columns[index],
        zone=np.arange(count) * ZONES // count,
        is_pilot=is_pilot,
    )


@cache
def bit_of_wave(code_bits: int) -> Indices:
    """Return which of `code_bits` each data wave (in the layout's order) carries."""
    random = np.random.default_rng((_LAYOUT_SEED, code_bits))
    count = int((~layout().is_pilot).sum())
    turns = -(-count // code_bits)
    return np.concatenate([random.permutation(code_bits) for _ in range(turns)])[:count]


def signs_of(code: npt.NDArray[np.uint8]) -> Floats:
    """Return +1 or -1 for every wave: pilots +1, data waves +1 for a 0 and -1 for a 1."""
    waves = layout()
    signs = np.ones(waves.index.size, np.float32)
    signs[~waves.is_pilot] = 1 - 2 * code[bit_of_wave(code.size)].astype(np.float32)
    return signs


def tile_of(amplitudes: Floats) -> Floats:
    """Return the tile, float32 (TILE_PX, TILE_PX), whose waves have these signed amplitudes."""
    waves = layout()
    spectrum = np.zeros(TILE_PX * TILE_PX, np.complex64)
    spectrum[waves.index] = waves.phase * amplitudes
    tile = np.fft.ifft2(spectrum.reshape(TILE_PX, TILE_PX)).real * (TILE_PX * TILE_PX)
    return tile.astype(np.float32)
