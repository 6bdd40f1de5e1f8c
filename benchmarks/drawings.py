"""Five drawings as artists publish them, drawn by code: flat art has no texture to hide in.

Each is drawn at any size from the same coordinates, so the same size gives the same pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Pixels = NDArray[np.uint8]
Point = tuple[float, float]
_SEED = 11
_SUPERSAMPLED = 2  # drawn at twice the size and reduced, for smooth edges


class _Canvas:
    """A drawing in unit coordinates: x and y in 0..1, widths as shares of the width."""

    def __init__(self, width: int, height: int, colour: str) -> None:
        self.size = (width * _SUPERSAMPLED, height * _SUPERSAMPLED)
        self.image = Image.new("RGB", self.size, colour)
        self._draw = ImageDraw.Draw(self.image)

    def polygon(self, points: list[Point], fill: str) -> None:
        self._draw.polygon([self._at(point) for point in points], fill=fill)

    def ellipse(self, centre: Point, radii: Point, fill: str, outline: str | None = None) -> None:
        (x, y), (across, down) = centre, radii
        box = [self._at((x - across, y - down)), self._at((x + across, y + down))]
        self._draw.ellipse(box, fill=fill, outline=outline, width=self._px(0.004))

    def line(self, points: list[Point], fill: str, width: float = 0.004) -> None:
        self._draw.line(
            [self._at(point) for point in points], fill=fill, width=self._px(width), joint="curve"
        )

    def pixels(self) -> Pixels:
        width, height = self.size
        reduced = self.image.resize(
            (width // _SUPERSAMPLED, height // _SUPERSAMPLED), Image.Resampling.BOX
        )
        return np.asarray(reduced)

    def _at(self, point: Point) -> Point:
        return point[0] * self.size[0], point[1] * self.size[1]

    def _px(self, width: float) -> int:
        return max(1, round(width * self.size[0]))


def anime(width: int, height: int) -> Pixels:
    """Draw a head in flat colours with dark outlines on a smooth sky."""
    canvas = _Canvas(width, height, "#9fd4f4")
    sky = np.linspace((120, 185, 240), (225, 240, 250), canvas.size[1])
    canvas.image.paste(Image.fromarray(_rows(sky, canvas.size[0])))
    for x, y in ((0.15, 0.2), (0.8, 0.15), (0.9, 0.35)):
        canvas.ellipse((x, y), (0.1, 0.03), "#ffffff")
    canvas.ellipse((0.5, 0.45), (0.3, 0.34), "#3a3f7a", "#1c1d33")
    canvas.polygon([(0.2, 1), (0.3, 0.78), (0.7, 0.78), (0.8, 1)], "#f7f7fb")
    canvas.polygon([(0.42, 0.8), (0.5, 0.9), (0.58, 0.8)], "#d8434f")
    canvas.ellipse((0.5, 0.52), (0.2, 0.25), "#ffe3d0", "#5b3a34")
    for side in (-1, 1):
        canvas.ellipse((0.5 + side * 0.085, 0.53), (0.045, 0.06), "#ffffff", "#1c1d33")
        canvas.ellipse((0.5 + side * 0.085, 0.54), (0.03, 0.045), "#3f8f6b")
        canvas.ellipse((0.5 + side * 0.085, 0.55), (0.016, 0.026), "#16332a")
        canvas.ellipse((0.5 + side * 0.085 + 0.012, 0.52), (0.009, 0.012), "#ffffff")
        canvas.ellipse((0.5 + side * 0.13, 0.63), (0.03, 0.015), "#f9b9ab")
    canvas.line([(0.46, 0.68), (0.5, 0.69), (0.54, 0.68)], "#5b3a34")
    canvas.polygon([(0.3, 0.5), (0.33, 0.28), (0.45, 0.2), (0.4, 0.42)], "#4a5094")
    canvas.polygon([(0.42, 0.44), (0.47, 0.2), (0.58, 0.22), (0.53, 0.4)], "#4a5094")
    canvas.polygon([(0.57, 0.42), (0.58, 0.2), (0.68, 0.3), (0.7, 0.5)], "#4a5094")
    return canvas.pixels()


def line_art(width: int, height: int) -> Pixels:
    """Draw black contours and a little hatching on white."""
    canvas = _Canvas(width, height, "#ffffff")
    turn = np.linspace(0, 2 * math.pi, 200)
    for petals, radius, width_ in ((5, 0.38, 0.006), (7, 0.26, 0.004), (9, 0.14, 0.003)):
        reach = radius * (0.75 + 0.25 * np.cos(petals * turn))
        points = list(zip(0.5 + reach * np.cos(turn), 0.45 + reach * np.sin(turn), strict=True))
        canvas.line(points, "#101010", width_)
    for step in range(14):
        x = 0.08 + 0.03 * step
        canvas.line([(x, 0.95), (x + 0.05, 0.85)], "#101010", 0.002)
    canvas.line([(0.5, 0.83), (0.52, 0.92), (0.48, 1.0)], "#101010", 0.006)
    return canvas.pixels()


def pixel_art(width: int, height: int) -> Pixels:
    """Draw a landscape of 64 cells across in few colours, each cell a square of one colour."""
    cells = 64
    rng = np.random.default_rng(_SEED)
    rows, columns = np.mgrid[0:cells, 0:cells]
    grid = np.empty((cells, cells, 3), np.uint8)
    grid[:] = np.array([(92, 148, 252), (128, 176, 252)])[(rows > 20).astype(int)]
    hills = 40 + 6 * np.sin(columns / 7) + 4 * np.sin(columns / 3)
    grid[rows > hills] = (0, 168, 68)
    grid[(rows > hills + 2) & ((rows + columns) % 4 == 0)] = (0, 120, 48)
    grid[rows > 56] = (172, 100, 40)
    grid[(rows > 56) & (rows % 4 == 0)] = (104, 56, 16)
    grid[np.hypot(rows - 10, columns - 52) < 6] = (252, 224, 96)
    for x in rng.choice(60, 6, replace=False):
        grid[48:54, x : x + 4] = (216, 40, 0)
        grid[50, x + 1 : x + 3] = (252, 252, 252)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.NEAREST))


def sketch(width: int, height: int) -> Pixels:
    """Draw a pencil study: soft strokes and shading on off-white paper."""
    rng = np.random.default_rng(_SEED)
    canvas = _Canvas(width, height, "#f4f1ea")
    for _ in range(700):
        angle = rng.uniform(0, 2 * math.pi)
        reach = 0.3 * math.sqrt(rng.uniform())
        x, y = 0.5 + reach * math.cos(angle), 0.5 + reach * math.sin(angle)
        dark = int(235 - 120 * np.clip(x - 0.3, 0, 1) * rng.uniform(0.5, 1.2))
        dx = rng.uniform(0.02, 0.05)
        stroke = [(x, y), (x + dx / 2, y - 0.9 * dx), (x + dx, y - 1.6 * dx)]
        canvas.line(stroke, f"rgb({dark},{dark},{dark})", 0.0015)
    turn = np.linspace(0, 2 * math.pi, 120)
    for wobble in (0.0, 0.006, -0.005):
        reach = 0.31 + wobble + 0.004 * np.sin(5 * turn + 9 * wobble)
        outline = list(zip(0.5 + reach * np.cos(turn), 0.5 + reach * np.sin(turn), strict=True))
        canvas.line(outline, "#5a5752", 0.002)
    soft = canvas.image.filter(ImageFilter.GaussianBlur(0.0012 * canvas.size[0]))
    canvas.image.paste(soft)
    return canvas.pixels()


def night(width: int, height: int) -> Pixels:
    """Draw a dark town under a moon: smooth dark gradients, a few lit windows, stars."""
    rng = np.random.default_rng(_SEED)
    canvas = _Canvas(width, height, "#05070f")
    sky = np.linspace((6, 8, 22), (34, 30, 58), canvas.size[1])
    canvas.image.paste(Image.fromarray(_rows(sky, canvas.size[0])))
    for _ in range(60):
        canvas.ellipse(tuple(rng.uniform(0, (1, 0.6))), (0.0015, 0.0015), "#c8cce0")
    glow = Image.new("L", canvas.size, 0)
    across, down = canvas.size
    ImageDraw.Draw(glow).ellipse([0.58 * across, 0.08 * down, 0.92 * across, 0.42 * down], fill=60)
    glow = glow.filter(ImageFilter.GaussianBlur(0.06 * across))
    canvas.image.paste(Image.new("RGB", canvas.size, "#8090c0"), mask=glow)
    canvas.ellipse((0.75, 0.25), (0.07, 0.07), "#e8e6d2")
    for left in np.arange(0, 1, 0.09):
        roof = 0.55 + 0.25 * rng.uniform()
        right = left + 0.085
        canvas.polygon([(left, 1), (left, roof), (right, roof), (right, 1)], "#0b0d18")
        for y in np.arange(roof + 0.03, 0.98, 0.05):
            for x in (left + 0.015, left + 0.05):
                if rng.uniform() < 0.35:
                    lit = [(x, y), (x + 0.02, y), (x + 0.02, y + 0.025), (x, y + 0.025)]
                    canvas.polygon(lit, "#f0b850")
    return canvas.pixels()


def _rows(colours: NDArray[np.float64], width: int) -> Pixels:
    return np.repeat(colours.round().astype(np.uint8)[:, None], width, axis=1)


DRAWINGS: dict[str, Callable[[int, int], Pixels]] = {
    "anime": anime,
    "line_art": line_art,
    "pixel_art": pixel_art,
    "sketch": sketch,
    "night": night,
}
