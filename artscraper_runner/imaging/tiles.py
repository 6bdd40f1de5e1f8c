"""Process a large picture in bands of rows that fit the processor's cache, on several threads.

Its pixels may lie in a file (`Workspace.load_pixels`) and take memory only while they are read.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

T = TypeVar("T")
Pixels = NDArray[np.uint8]
BAND_ROWS = 32
LARGE_VALUES = 3 * 12_000_000  # of a picture; a larger one needs the memory of all that can go
CAN_UNLOAD = hasattr(mmap, "MADV_DONTNEED")  # not on Windows
_MAX_THREADS = 4  # memory bandwidth limits more
_MIN_ROWS_PER_THREAD = 512  # fewer take less time than starting a thread
_UNLOADED_ROWS = 512  # of a mapped picture; reading them again costs less than their memory
_REDUCED_ROWS = 32  # of a reduced picture, at once
_REDUCING_GAP = 2.0  # least ratio of the resampled picture's size to the result's


def over_bands(
    work: Callable[[slice], T],
    height: int,
    *,
    rows: int = BAND_ROWS,
    reads: Sequence[Pixels] = (),
) -> list[T]:
    """Return the results of `work` for each band of `rows` rows out of `height`, from the top.

    Bands are processed concurrently, so each may write to its own rows only. The results are in
    the order of the bands, so that sums over them are the same on every machine.

    Args:
        work: called with the rows of a band.
        height: of the picture, in px.
        rows: of a band.
        reads: pictures that `work` reads; the memory of mapped ones is given back on the way.
    """
    bands = [slice(top, min(top + rows, height)) for top in range(0, height, rows)]
    threads = min(_MAX_THREADS, os.cpu_count() or 1, height // _MIN_ROWS_PER_THREAD)
    unload_each = max(1, _UNLOADED_ROWS // rows)
    rest, results = iter(range(len(bands))), dict[int, T]()

    def work_on_rest() -> None:  # one job a thread: a job a band costs more than many bands do
        for index in rest:  # shared: `next` of a range's iterator is atomic
            results[index] = work(bands[index])
            if index % unload_each == 0:
                unload(*reads)

    if threads < 2:
        work_on_rest()
    else:
        with ThreadPoolExecutor(threads - 1) as pool:
            others = [pool.submit(work_on_rest) for _ in range(threads - 1)]
            work_on_rest()
            for other in others:
                other.result()
    unload(*reads)
    return [results[index] for index in range(len(bands))]


def reduced_copy(pixels: Pixels, across: int, down: int) -> Pixels:
    """Return uint8 (H, W, 3) as means of `across` x `down` px, as `Image.reduce` computes them.

    Pillow's copy of the whole picture would take four bytes a pixel: 96 MB for 24 megapixels.
    Border cells average the existing pixels. Returns the same array if nothing is reduced.
    """
    if across == down == 1:
        return pixels

    def reduce(rows: slice) -> Pixels:
        return np.asarray(Image.fromarray(pixels[rows]).reduce((across, down)))

    reduced = over_bands(reduce, len(pixels), rows=_REDUCED_ROWS * down, reads=[pixels])
    return np.concatenate(reduced)


def resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return uint8 (H, W, 3) at `size` (h, w), not larger: reduced, then by bicubic resampling.

    What `Image.resize` makes with a reducing gap.
    """
    height, width = pixels.shape[:2]
    across = max(1, int(width / size[1] / _REDUCING_GAP))
    down = max(1, int(height / size[0] / _REDUCING_GAP))
    reduced = reduced_copy(pixels, across, down)
    box = (0.0, 0.0, width / across, height / down)
    result = np.empty((*size, 3), np.uint8)
    for channel in range(3):  # Pillow's copy of a colour picture takes four bytes a pixel
        plane = Image.fromarray(np.ascontiguousarray(reduced[..., channel]))
        unload(reduced)
        small = plane.resize(size[::-1], Image.Resampling.BICUBIC, box=box)
        result[..., channel] = np.asarray(small)
    return result


def unload(*arrays: Pixels) -> None:
    """Give back the memory of mapped arrays until they are read again; others keep theirs."""
    for array in arrays:
        mapping = getattr(array, "_mmap", None)
        if mapping is not None:
            mapping.madvise(mmap.MADV_DONTNEED)
