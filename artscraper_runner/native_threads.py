"""How threads of native libraries wait; called by entry points before NumPy is imported."""

from __future__ import annotations

import os

# OpenBLAS's idle threads spin for tens of milliseconds after each product, beside the runtime that
# computes the graphs; the products here are too small to gain from threads. OpenMP's idle threads
# sleep: a thread that waits spinning for one whose core is busy makes a step ten times as slow.
NATIVE_THREAD_DEFAULTS = {"OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def set_native_thread_defaults() -> None:
    """Set the defaults in the environment of this process, where the user has set nothing."""
    for name, value in NATIVE_THREAD_DEFAULTS.items():
        os.environ.setdefault(name, value)
