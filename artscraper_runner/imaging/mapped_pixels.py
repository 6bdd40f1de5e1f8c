"""Pixels of a large picture that lie in a file and take memory only while they are read.

`Workspace.load_pixels` maps them.
"""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

CAN_UNLOAD = hasattr(mmap, "MADV_DONTNEED")  # not on Windows


def unload(*arrays: Pixels) -> None:
    """Give back the memory of mapped arrays until they are read again; others keep theirs."""
    for array in arrays:
        mapping = getattr(array, "_mmap", None)
        if mapping is not None:
            mapping.madvise(mmap.MADV_DONTNEED)
