"""How long parts of a run take, told to whoever watches: each processor, each encoder's loading."""

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
    """Tells `watcher` kind, name and seconds of each part that ends inside the block.

    It is called in the thread of the run, and must be quick.
    """
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


@contextmanager
def timed(part: Part, name: str) -> Iterator[None]:
    """Tells the watcher, if there is one, how long the block took, also when it raised."""
    watcher = _watcher.get()
    begun = time.perf_counter()
    try:
        yield
    finally:
        if watcher is not None:
            watcher(part, name, time.perf_counter() - begun)
