"""Continue pictures to sides that are multiples of an encoder's stride, and the adjoint of that."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def pad_to_multiple(pictures: Array, stride: int) -> Array:
    """Continue pictures (N, C, H, W) to the right and below to multiples of `stride` px.

    By reflection without the edge itself; by the last row and column where the picture is too
    small for that.
    """
    rows, columns = (-side % stride for side in pictures.shape[2:])
    if not rows and not columns:
        return pictures
    pads = ((0, 0), (0, 0), (0, rows), (0, columns))
    height, width = pictures.shape[2:]
    if rows < height and columns < width:
        return np.pad(pictures, pads, mode="reflect")
    return np.pad(pictures, pads, mode="edge")


def pad_adjoint(gradient: Array, size: tuple[int, int], stride: int) -> Array:
    """Return the gradient of pictures of `size` (H, W) for one of what `pad_to_multiple` made."""
    height, width = size
    rows, columns = gradient.shape[2] - height, gradient.shape[3] - width
    if not rows and not columns:
        return gradient
    reflects = rows < height and columns < width
    return _fold(_fold(gradient, 2, height, reflects=reflects), 3, width, reflects=reflects)


def _fold(gradient: Array, axis: int, side: int, *, reflects: bool) -> Array:
    """Add the padding along an axis back to its source cells."""
    extra = gradient.shape[axis] - side
    kept, added = np.split(gradient, [side], axis=axis)
    kept = kept.copy()
    if not extra:
        return kept
    target = [slice(None)] * 4
    if reflects:
        target[axis] = slice(side - 1 - extra, side - 1)
        kept[tuple(target)] += np.flip(added, axis)
    else:
        target[axis] = slice(side - 1, side)
        kept[tuple(target)] += added.sum(axis, keepdims=True)
    return kept
