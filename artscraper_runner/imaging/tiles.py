"""Work through a large picture in bands of rows that stay in the processor's cache, on threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Answer = TypeVar("Answer")
BAND_ROWS = 32
_MOST_THREADS = 4  # beyond it the memory is what is waited for
_ROWS_A_THREAD = 512  # fewer are done sooner than a thread is started


def over_bands(
    work: Callable[[slice], Answer], height: int, *, rows: int = BAND_ROWS
) -> list[Answer]:
    """Return what `work` answers for each band of `rows` rows out of `height`, from the top.

    Bands are worked on at the same time, so each may write to nothing but its own rows. The order
    of the answers, and so every sum over them, is the same on any machine.
    """
    bands = [slice(top, min(top + rows, height)) for top in range(0, height, rows)]
    threads = min(_MOST_THREADS, os.cpu_count() or 1, height // _ROWS_A_THREAD)
    if threads < 2:
        return [work(band) for band in bands]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, bands))
