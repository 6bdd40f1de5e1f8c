"""Read tensors of a network serialised by dlib; their sizes must be known.

In dlib's format an integer is a control byte, whose low four bits count the little-endian bytes
that follow, and a tensor is the integers 2 (a version), samples, channels, rows and columns, then
raw little-endian float32. Between tensors are names and settings of layers, which are not read:
the next tensor is the next place with a valid header.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.models.weights import UnusableModel

Array = NDArray[np.float32]
_TENSOR_VERSION = 2
_LARGEST_GAP = 4096  # bytes between two tensors; dlib's networks have some hundred
_MAX_BYTES = 256 * 1024 * 1024


def read_tensors(path: Path, shapes: Sequence[tuple[int, int]]) -> list[Array]:
    """Read the tensors of `shapes` (samples, channels) in the file's order, flat float32.

    Raises:
        UnusableModel: a tensor is not where it should be, is cut off, or the file is too large.
    """
    content = _content(path)
    tensors, position = [], 0
    for index, (samples, channels) in enumerate(shapes):
        header = b"".join(map(_integer, (_TENSOR_VERSION, samples, channels, 1, 1)))
        start = content.find(header, position, position + _LARGEST_GAP)
        expected = f"tensor {index + 1} of {len(shapes)}, {samples}x{channels} numbers"
        if start < 0:
            raise UnusableModel(path, f"expected {expected}, found none after byte {position}")
        start, count = start + len(header), samples * channels
        position = start + 4 * count
        if position > len(content):
            raise UnusableModel(path, f"expected {expected}, the file ends within them")
        tensors.append(np.frombuffer(content, "<f4", count, start).astype(np.float32))
    return tensors


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UnusableModel(path, error.strerror or "cannot be read") from error
    if len(content) > _MAX_BYTES:
        raise UnusableModel(path, f"expected at most {_MAX_BYTES} bytes, found more")
    return content


def _integer(value: int) -> bytes:
    """Return a non-negative integer as dlib writes it."""
    digits = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "little")
    return bytes([len(digits)]) + digits
