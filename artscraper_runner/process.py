"""Settings of a process, made by entry points: threads and memory of native libraries, collection.

Threads are set before NumPy is imported. No garbage is collected while modules are imported and at
exit: modules make none, but the collector would walk through all of their objects again and again,
a fifth of the start of a gateway.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys

# OpenBLAS's idle threads spin for tens of milliseconds after each product, beside the runtime that
# computes the graphs; the products here are too small to gain from threads. OpenMP's idle threads
# sleep: a thread that waits spinning for one whose core is busy makes a step ten times as slow.
NATIVE_THREAD_DEFAULTS = {"OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
_ARENA_SETTING = "MALLOC_ARENA_MAX"
# Parameters of glibc's mallopt. Each thread's own arena would keep what it freed. Blocks from this
# size on go back to the system once they are freed; by default glibc keeps those of up to 32 MiB,
# which are the arrays of large pictures. Smaller ones are needed again at once.
_M_ARENA_MAX, _ARENAS = -8, 2
_M_MMAP_THRESHOLD, _RETURNED_BYTES = -3, 8 << 20
_M_TRIM_THRESHOLD, _KEPT_BYTES = -1, 64 << 20  # at the end of the heap


def set_native_thread_defaults() -> None:
    """Set the defaults in the environment of this process, where the user has set nothing."""
    for name, value in NATIVE_THREAD_DEFAULTS.items():
        os.environ.setdefault(name, value)
    if sys.platform == "linux" and _ARENA_SETTING not in os.environ:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, _ARENAS)
            mallopt(_M_MMAP_THRESHOLD, _RETURNED_BYTES)
            mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def pause_collection() -> None:
    """Collect nothing until `resume_collection`, and nothing when the interpreter ends."""
    gc.disable()
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)


def resume_collection() -> None:
    """Collect again, but never what exists by now."""
    gc.freeze()
    gc.enable()
