"""Add a change of luma, found at the reference size, to a picture of any size in 8 bits."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

from artscraper_runner.imaging.tiles import over_bands
from artscraper_runner.watermarks import Pixels
from artscraper_runner.watermarks.folding import Floats

_PATTERN_PX = 128


def add_luma(pixels: Pixels, change: Floats) -> Pixels:
    """Return pixels plus a change of luma at the reference size, in whole levels, within 0..255.

    All three channels change alike, so grey stays grey and no hue shifts.
    """
    height, width = pixels.shape[:2]
    image, scale = Image.fromarray(change), change.shape[0] / height
    least, most = change.min(), change.max()
    marked = np.empty((height, width, 3), np.uint8)

    def add(rows: slice) -> None:
        box = (0, rows.start * scale, image.width, min(image.height, rows.stop * scale))
        size = (width, rows.stop - rows.start)
        part = np.asarray(image.resize(size, Image.Resampling.BICUBIC, box=box))
        levels = in_levels(part.clip(least, most), change, top=rows.start).astype(np.int16)
        changed = levels[:, :, None] + pixels[rows]
        marked[rows] = np.clip(changed, 0, 255, out=changed)

    over_bands(add, height, reads=[pixels])
    return marked


def in_levels(part: Floats, change: Floats, *, top: int = 0) -> Floats:
    """Return rows of an enlarged change, from `top` on, in whole levels.

    A change at its own size is rounded. An enlarged one is dithered: rounded, its waves below half
    a level would be lost, and those above would be patches whose edges of one level show.
    """
    rows, columns = part.shape
    if columns == change.shape[1]:
        rounded: Floats = np.rint(part)
        return rounded
    pattern = _pattern()[np.arange(top, top + rows) % _PATTERN_PX]
    dithered: Floats = np.floor(part + pattern[:, np.arange(columns) % _PATTERN_PX])
    return dithered


def enlarged(change: Floats, shape: tuple[int, ...]) -> Floats:
    """Return a change of luma at (height, width), with no value beyond those it has."""
    if change.shape == shape:
        return change
    height, width = shape
    resized = Image.fromarray(change).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized).clip(change.min(), change.max())


@lru_cache(maxsize=1)
def _pattern() -> Floats:
    """Return thresholds in 0..1: Jimenez's interleaved gradient noise (2014)."""
    at = np.arange(_PATTERN_PX)
    turns = (0.06711056 * at + 0.00583715 * at[:, None]) % 1
    return (52.9829189 * turns % 1).astype(np.float32)
