"""Garbage collection of the command-line programs: none while modules are imported, none at exit.

Modules make no garbage, but the collector would walk through all of their objects again and again:
a fifth of the start of a gateway.
"""

from __future__ import annotations

import atexit
import gc


def pause_collection() -> None:
    """Collect nothing until `resume_collection`, and nothing when the interpreter ends."""
    gc.disable()
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)


def resume_collection() -> None:
    """Collect again, but never what exists by now."""
    gc.freeze()
    gc.enable()
