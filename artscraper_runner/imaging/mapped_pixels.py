"""Pixels of a large picture that lie in a file and take memory only while they are read."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

CAN_UNLOAD = hasattr(mmap, "MADV_DONTNEED")  # not on Windows


def map_pixels(path: Path) -> Pixels:
    """Return the array that `numpy.save` wrote to `path`, not writable, read on first use."""
    import numpy as np

    pixels: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    return pixels


def unload(*arrays: Pixels) -> None:
    """Give back the memory of mapped arrays until they are read again; others keep theirs."""
    for array in arrays:
        mapping = getattr(array, "_mmap", None)
        if mapping is not None:
            mapping.madvise(mmap.MADV_DONTNEED)
