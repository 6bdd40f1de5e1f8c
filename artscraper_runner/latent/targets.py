"""The pictures that attacks move latents towards, drawn by code: nothing has to be shipped.

All are float32 (H, W, 3) sRGB in [0, 1], the same for the same size.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.options import CONCEPT_NAMES

Pixels = NDArray[np.float32]


def grey(height: int, width: int) -> Pixels:
    """Return mid grey, the target of PhotoGuard's encoder attack."""
    return np.full((height, width, 3), 0.5, np.float32)


def periodic_pattern(height: int, width: int, *, cell: int = 16) -> Pixels:
    """Return a black and white lattice of period 2 * `cell` px, rings inside its cells.

    Mist's target is a high-contrast periodic picture (Liang and Wu 2023, arXiv 2305.12683); this
    one is our own drawing.
    """
    rows, columns = _grid(height, width)
    checks = (np.floor(rows / cell) + np.floor(columns / cell)) % 2
    radius = np.hypot(rows % cell - cell / 2, columns % cell - cell / 2)
    rings = radius < cell / 4
    values = np.where(rings, 1 - checks, checks).astype(np.float32)
    return np.repeat(values[..., None], 3, axis=2)


def concept(name: str, height: int, width: int) -> Pixels:
    """Return the built-in picture of another concept, one of CONCEPT_NAMES, for Nightshade."""
    return _CONCEPTS[name](height, width)


def _forest(height: int, width: int) -> Pixels:
    """Fir trees before an evening sky."""
    rows, columns = _unit_grid(height, width)
    picture = _gradient(rows, top=(0.95, 0.6, 0.3), bottom=(0.4, 0.25, 0.5))
    for depth in range(4):
        count = 5 + 3 * depth
        phase = columns * count + 0.37 * depth
        nearest = np.abs(phase % 1.0 - 0.5)  # 0 at a trunk
        tip = 0.25 + 0.12 * depth + 0.1 * np.sin(3.7 * np.floor(phase) + depth)
        branches = 0.08 * np.abs((rows * (14 + 4 * depth)) % 1.0)
        inside = (rows > tip) & (nearest < 0.55 * (rows - tip) + branches - 0.02)
        shade = 0.08 + 0.1 * (3 - depth)
        picture[inside] = (0.3 * shade, shade, 0.55 * shade)
    return picture


def _city(height: int, width: int) -> Pixels:
    """Draw towers with lit windows at night."""
    rows, columns = _unit_grid(height, width)
    picture = _gradient(rows, top=(0.03, 0.04, 0.15), bottom=(0.35, 0.2, 0.3))
    for depth in range(3):
        count = 7 + 4 * depth
        tower = np.floor(columns * count)
        roof = 0.2 + 0.15 * depth + 0.25 * np.abs(np.sin(12.9 * tower + 4.1 * depth))
        inside = rows > roof
        across, down = (columns * count * 4) % 1.0, (rows * count * 5) % 1.0
        lit = np.sin(78.2 * np.floor(columns * count * 4) + 37.7 * np.floor(rows * count * 5)) > 0.1
        window = inside & (across > 0.25) & (across < 0.8) & (down > 0.3) & (down < 0.8)
        picture[inside] = 0.05 + 0.06 * (2 - depth)
        picture[window & lit] = (1.0, 0.85, 0.4)
    return picture


def _flower(height: int, width: int) -> Pixels:
    """Draw one many-petalled flower on grass."""
    rows, columns = _unit_grid(height, width)
    blades = 0.5 + 0.5 * np.sin(140 * columns + 9 * np.sin(22 * rows))
    picture = np.stack([0.1 + 0.2 * blades, 0.3 + 0.4 * blades, 0.1 * blades], axis=-1)
    angle = np.arctan2(rows - 0.5, columns - 0.5)
    radius = 2 * np.hypot(rows - 0.5, columns - 0.5)
    for ring, colour in enumerate([(0.95, 0.3, 0.5), (1.0, 0.75, 0.85)]):
        edge = (0.85 - 0.25 * ring) * (0.6 + 0.4 * np.abs(np.cos(6 * angle + ring)))
        picture[radius < edge] = colour
    picture[radius < 0.22] = (0.98, 0.8, 0.1)
    return picture.astype(np.float32)


_CONCEPTS: dict[str, Callable[[int, int], Pixels]] = dict(
    zip(CONCEPT_NAMES, (_forest, _city, _flower), strict=True)
)


STANDARD_TARGETS: dict[str, Callable[[tuple[int, int]], Pixels]] = {
    "photoguard": lambda size: grey(*size),
    "mist": lambda size: periodic_pattern(*size),
    "nightshade": lambda size: concept("forest", *size),
}  # by stage, as float32 (h, w, 3) at a size (h, w)


def _grid(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    return rows, columns


def _unit_grid(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rows, columns = _grid(height, width)
    rows += np.float32(0.5)
    columns += np.float32(0.5)
    return rows / np.float32(height), columns / np.float32(width)


def _gradient(
    rows: NDArray[np.float32], *, top: tuple[float, ...], bottom: tuple[float, ...]
) -> Pixels:
    share = rows[..., None]
    first, last = np.array(top, np.float32), np.array(bottom, np.float32)
    return np.asarray((1 - share) * first + share * last, np.float32)
