"""Process a large picture in bands of rows that fit the processor's cache, on several threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

T = TypeVar("T")
Pixels = NDArray[np.uint8]
BAND_ROWS = 32
_MAX_THREADS = 4  # memory bandwidth limits more
_MIN_ROWS_PER_THREAD = 512  # fewer take less time than starting a thread
_REDUCED_ROWS = 32  # of a reduced picture, at once
_REDUCING_GAP = 2.0  # least ratio of the resampled picture's size to the result's


def over_bands(work: Callable[[slice], T], height: int, *, rows: int = BAND_ROWS) -> list[T]:
    """Return the results of `work` for each band of `rows` rows out of `height`, from the top.

    Bands are processed concurrently, so each may write to its own rows only. The results are in
    the order of the bands, so that sums over them are the same on every machine.
    """
    bands = [slice(top, min(top + rows, height)) for top in range(0, height, rows)]
    threads = min(_MAX_THREADS, os.cpu_count() or 1, height // _MIN_ROWS_PER_THREAD)
    if threads < 2:
        return [work(band) for band in bands]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, bands))


def reduced_copy(pixels: Pixels, across: int, down: int) -> Pixels:
    """Return uint8 (H, W, 3) as means of `across` x `down` px, as `Image.reduce` computes them.

    Pillow's copy of the whole picture would take four bytes a pixel: 96 MB for 24 megapixels.
    Border cells average the existing pixels. Returns the same array if nothing is reduced.
    """
    if across == down == 1:
        return pixels

    def reduce(rows: slice) -> Pixels:
        return np.asarray(Image.fromarray(pixels[rows]).reduce((across, down)))

    return np.concatenate(over_bands(reduce, len(pixels), rows=_REDUCED_ROWS * down))


def resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return uint8 (H, W, 3) at `size` (h, w), not larger: reduced, then by bicubic resampling.

    What `Image.resize` makes with a reducing gap.
    """
    height, width = pixels.shape[:2]
    across = max(1, int(width / size[1] / _REDUCING_GAP))
    down = max(1, int(height / size[0] / _REDUCING_GAP))
    image = Image.fromarray(reduced_copy(pixels, across, down))
    box = (0, 0, width / across, height / down)
    return np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC, box=box))
