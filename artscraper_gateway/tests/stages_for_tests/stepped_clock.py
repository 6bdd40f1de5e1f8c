"""Advance the clock of the process by the file `clock-step` if CLOCK_STEPS is set.

Seconds, below 0 for behind; the file lies in the working directory, and may come at any moment.
"""

from __future__ import annotations

import time
from pathlib import Path

_STEP = Path("clock-step").resolve()


def lay() -> None:
    """Put the stepped clock in the place of `time.time`."""
    clock = time.time

    def stepped() -> float:
        return clock() + (float(_STEP.read_text() or 0) if _STEP.exists() else 0.0)

    time.time = stepped
