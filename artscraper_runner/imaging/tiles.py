"""Process a large picture in bands of rows that fit the processor's cache, on several threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
BAND_ROWS = 32
_MAX_THREADS = 4  # memory bandwidth limits more
_MIN_ROWS_PER_THREAD = 512  # fewer take less time than starting a thread


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
