"""Timings of the parts of a run (each processor, loading an encoder), reported to a watcher."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

Part = Literal["processor", "encoder"]
Watcher = Callable[[Part, str, float], None]
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watch_timings(watcher: Watcher) -> Iterator[None]:
    """Call `watcher(kind, name, seconds)` for each part that ends inside the block.

    The watcher runs in the thread of the run and must be quick.
    """
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


@contextmanager
def timed(part: Part, name: str) -> Iterator[None]:
    """Report the duration of the block to the watcher, also when the block raises."""
    watcher = _watcher.get()
    begun = time.perf_counter()
    try:
        yield
    finally:
        if watcher is not None:
            watcher(part, name, time.perf_counter() - begun)
