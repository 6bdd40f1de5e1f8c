"""Between the picture at full size and the size that attacks are optimised at.

A large picture is attacked as image models see it: scaled to the working size first, and refined
in a copy of twice that size. The perturbation found there is enlarged and added to the picture at
full size, which itself is never scaled.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artscraper_runner.attacks.run_cache import RunCache
from artscraper_runner.attacks.transforms import to_picture
from artscraper_runner.imaging.tiles import over_bands, resized

Pixels = NDArray[np.uint8]
Array = NDArray[np.float32]
SHORT_SIDE = 512  # px, of the working size
FINE_SHORT_SIDE = 1024  # px, of the size at which attacks on large pictures are refined
_LEAST_REFINEMENT = 1.25  # times the working size
MAX_PIXELS = 2 * SHORT_SIDE**2
_MULTIPLE = 16  # px; sides of a scaled picture, so that its half fits the encoders' stride too
_ENLARGED_ROWS = 128  # at once
_KEPT_SCALED = 4  # pictures at the working size: original, before, made, saved


def working_size(height: int, width: int, *, short_side: int = SHORT_SIDE) -> tuple[int, int]:
    """Return (height, width) to work at: the picture's own when its short side is not longer.

    Longer pictures are scaled to `short_side` px on the short side, or further until they have at
    most 2 * short_side^2 pixels. Sides are multiples of 16 px then.
    """
    max_pixels = MAX_PIXELS * short_side**2 // SHORT_SIDE**2
    scale = min(1.0, short_side / min(height, width))
    scale = min(scale, math.sqrt(max_pixels / (height * width)))
    if scale == 1.0:
        return height, width
    return _fitted(height * scale, height), _fitted(width * scale, width)


def fine_size(height: int, width: int) -> tuple[int, int] | None:
    """Return (height, width) to refine an attack at; None where a picture is hardly larger."""
    coarse = working_size(height, width)
    fine = working_size(height, width, short_side=FINE_SHORT_SIDE)
    return fine if fine[0] >= _LEAST_REFINEMENT * coarse[0] else None


def at_working_size(pixels: Pixels, size: tuple[int, int], cache: RunCache) -> Array:
    """Return uint8 (H, W, 3) as float32 (1, 3, h, w) in [0, 1], scaled to `size`, (h, w)."""
    key = (cache.token(pixels), size)
    if size[0] * size[1] > MAX_PIXELS:  # too large to be kept as float32
        scaled = cache.remember("scaled pixels", key, lambda: resized(pixels, size), keep=2)
        return to_picture(scaled)
    return cache.remember("scaled", key, lambda: scaled_picture(pixels, size), keep=_KEPT_SCALED)


def scaled_picture(pixels: Pixels, size: tuple[int, int]) -> Array:
    """Return what `at_working_size` does, without remembering it."""
    if pixels.shape[:2] != size:
        pixels = resized(pixels, size)
    return to_picture(pixels)


def visible_at(alpha: NDArray[np.uint8], size: tuple[int, int]) -> Array:
    """Return float32 (1, 1, h, w): 0 where all that a pixel covers is hidden, else 1.

    Hidden pixels are wholly transparent in `alpha`, uint8 (H, W); `size`, (h, w), is not larger.
    """
    rows, columns = (
        np.arange(side) * whole // side for side, whole in zip(size, alpha.shape, strict=True)
    )
    most = np.maximum.reduceat(np.maximum.reduceat(alpha, rows, axis=0), columns, axis=1)
    return (most > 0).astype(np.float32)[None, None]


def apply_perturbation(pixels: Pixels, change: Array, *, original: Pixels, budget: int) -> Pixels:
    """Return `pixels` plus `change`, within `budget` of `original`.

    Args:
        pixels: uint8 (H, W, 3), the layer before.
        change: float32 (1, 3, h, w), of [0, 1], enlarged to (H, W) by bicubic interpolation.
        original: uint8 (H, W, 3).
        budget: largest difference from `original`, of 255. Where the layer before differs by
            more already (a watermark), it is not moved further away.
    """
    height, width = pixels.shape[:2]
    # As 8 bits: a quarter of the memory, and scaled many times as fast as floats.
    levels = 127 / max(1.0, 255 * float(np.abs(change).max()))
    coded = np.rint(change[0].transpose(1, 2, 0) * np.float32(255 * levels)) + 128
    image = Image.fromarray(coded.astype(np.uint8))
    steps = np.rint((np.arange(256) - 128) / levels)
    rises, falls = (part.clip(0, 255).astype(np.uint8).tobytes() for part in (steps, -steps))
    result = np.empty(pixels.shape, np.uint8)

    def add(rows: slice) -> None:
        codes = _enlarged(image, (height, width), rows)
        shape = result[rows].shape
        rise, fall = (
            np.frombuffer(codes.translate(table), np.uint8).reshape(shape)
            for table in (rises, falls)
        )
        _add_bounded(result[rows], pixels[rows], (rise, fall), (original[rows], budget))

    over_bands(add, height, rows=_ENLARGED_ROWS, reads=[pixels, original])
    return result


def _enlarged(image: Image.Image, size: tuple[int, int], rows: slice) -> bytes:
    """Return these rows of `image` enlarged to `size`, (height, width): R, G, B of each pixel."""
    height, width = size
    scale = image.height / height
    box = (0, rows.start * scale, image.width, min(image.height, rows.stop * scale))
    wide = image.resize((width, rows.stop - rows.start), Image.Resampling.BICUBIC, box=box)
    return wide.tobytes()


def _add_bounded(
    result: Pixels, before: Pixels, change: tuple[Pixels, Pixels], within: tuple[Pixels, int]
) -> None:
    """Write `before` plus `change`: how far each value rises and falls, one of which is 0.

    It stays `within` an original and a budget, widened to where `before` is. All in 8 bits, which
    is many times as fast as 16.
    """
    rise, fall = change
    original, budget = within
    room = np.minimum(original, 255 - budget)
    room += np.uint8(budget)
    np.maximum(room, before, out=room)
    room -= before
    np.add(before, np.minimum(room, rise, out=room), out=result)
    np.maximum(original, budget, out=room)
    room -= np.uint8(budget)
    np.minimum(room, before, out=room)
    np.subtract(before, room, out=room)
    result -= np.minimum(room, fall, out=room)


def _fitted(side: float, whole: int) -> int:
    """Return the nearest multiple, at least one, and never more than the picture has."""
    return min(whole, max(_MULTIPLE, _MULTIPLE * round(side / _MULTIPLE)))
