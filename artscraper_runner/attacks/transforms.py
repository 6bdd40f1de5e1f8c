"""Changes that an attack is averaged over, each with its adjoint: another size, colour, JPEG.

Pictures are float32 (1, 3, H, W) sRGB in [0, 1]. An adjoint takes the gradient of the changed
picture to that of the picture.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]
_MIN_SIDE = 8  # px; no view is smaller
_PIECE_MULTIPLE = 16  # px
RGB_TO_YCC = np.array(  # JFIF 1.02
    [
        (0.299, 0.587, 0.114),
        (-0.168736, -0.331264, 0.5),
        (0.5, -0.418688, -0.081312),
    ]
)
YCC_TO_RGB = np.linalg.inv(RGB_TO_YCC)


@dataclass(frozen=True)
class View:
    """A change of a picture, and its adjoint."""

    forward: Callable[[Array], Array]
    adjoint: Callable[[Array], Array]
    place: tuple[slice, slice] | None = None  # rows and columns of a part, shown as it is

    def add_adjoint(self, gradient: Array, total: Array) -> None:
        """Add the adjoint of a gradient to `total`, shaped like the picture."""
        if self.place is None:
            total += self.adjoint(gradient)
        else:
            total[(..., *self.place)] += gradient

    def then(self, later: View) -> View:
        """Return this change followed by a later one."""
        return View(
            lambda picture: later.forward(self.forward(picture)),
            lambda gradient: self.adjoint(later.adjoint(gradient)),
        )


def identity() -> View:
    """Return the identity view."""
    return View(lambda picture: picture, lambda gradient: gradient)


def scaled(size: tuple[int, int], scale: float) -> View:
    """Return the view of pictures of `size` (H, W) at `scale` of it by area averaging."""
    height, width = size
    if scale == 1.0:
        return identity()
    if scale == 0.5 and height % 2 == 0 and width % 2 == 0 and min(size) >= 2 * _MIN_SIDE:
        return View(_mean_of_four, _quarters)
    rows, columns = (max(min(side, _MIN_SIDE), round(side * scale)) for side in size)
    if (rows, columns) == size:
        return identity()
    down, across = _averages(height, rows), _averages(width, columns)
    return View(
        lambda picture: _along_both(picture, down.rows, across.rows),
        lambda gradient: _along_both(gradient, down.columns, across.columns),
    )


def pieces(size: tuple[int, int], most: int) -> list[View]:
    """Return views of the parts of pictures of `size` (H, W), each side at most `most` px.

    Parts are about equally large and do not overlap; sides are multiples of 16 px but at the end.
    """
    rows, columns = (_parts(side, most) for side in size)
    return [_piece(size, down, across) for down in rows for across in columns]


def halved_colour() -> View:
    """Return the view of pictures with chroma at half the resolution, as JPEG and video store it.

    A linear map, so its gradient holds exactly which colour changes would be averaged away.
    """
    return View(
        lambda picture: mix(_coarse_chroma(mix(picture, RGB_TO_YCC)), YCC_TO_RGB),
        lambda gradient: mix(_coarse_chroma(mix(gradient, YCC_TO_RGB.T)), RGB_TO_YCC.T),
    )


def through_jpeg(quality: int) -> View:
    """Return the view of pictures as Pillow's JPEG shows them; the gradient passes unchanged.

    The straight-through estimate of Bengio et al. 2013 (arXiv 1308.3432) on a real encoder.
    """
    return View(lambda picture: _coded(picture, quality), lambda gradient: gradient)


def mix(planes: Array, matrix: NDArray[np.float64]) -> Array:
    """Return planes (1, 3, H, W), each a sum of the given ones weighted by a row of `matrix`."""
    weights = matrix.astype(np.float32)
    mixed = np.empty_like(planes)
    for index, row in enumerate(weights):
        np.multiply(planes[:, 0], row[0], out=mixed[:, index])
        mixed[:, index] += row[1] * planes[:, 1]
        mixed[:, index] += row[2] * planes[:, 2]
    return mixed


def without_colour(perturbation: Array) -> Array:
    """Return the mean over the channels in each, since a grey picture stays grey."""
    return np.broadcast_to(perturbation.mean(1, keepdims=True), perturbation.shape).copy()


def to_pixels(picture: Array) -> NDArray[np.uint8]:
    """Return float32 (1, 3, H, W) in [0, 1] as uint8 (H, W, 3)."""
    levels = np.rint(picture[0].clip(0, 1) * np.float32(255)).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


def to_picture(pixels: NDArray[np.uint8]) -> Array:
    """Return uint8 (H, W, 3) as float32 (1, 3, H, W) in [0, 1]."""
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
    return np.asarray(planes / np.float32(255), np.float32)


def resized(picture: Array, size: tuple[int, int], filter_: Image.Resampling) -> Array:
    """Return float32 (1, C, H, W) at `size` (h, w) by one of Pillow's filters."""
    planes = [
        np.asarray(Image.fromarray(plane).resize((size[1], size[0]), filter_))
        for plane in picture[0]
    ]
    return np.stack(planes)[None]


def _parts(side: int, most: int) -> list[slice]:
    count = -(-side // most)
    step = -(-side // count)
    step += -step % _PIECE_MULTIPLE
    return [slice(start, min(start + step, side)) for start in range(0, side, step)]


def _piece(size: tuple[int, int], down: slice, across: slice) -> View:
    def spread(gradient: Array) -> Array:
        whole = np.zeros((*gradient.shape[:2], *size), np.float32)
        whole[:, :, down, across] = gradient
        return whole

    return View(lambda picture: picture[:, :, down, across], spread, (down, across))


def _mean_of_four(picture: Array) -> Array:
    total = picture[..., ::2, ::2] + picture[..., ::2, 1::2]
    total += picture[..., 1::2, ::2]
    total += picture[..., 1::2, 1::2]
    total *= np.float32(0.25)
    return total


def _quarters(gradient: Array) -> Array:
    height, width = gradient.shape[2:]
    spread = np.empty((*gradient.shape[:2], height, 2, width, 2), np.float32)
    spread[:] = (gradient * np.float32(0.25))[:, :, :, None, :, None]
    return spread.reshape(*gradient.shape[:2], 2 * height, 2 * width)


@dataclass(frozen=True)
class _Sums:
    """Weighted sums along an axis: of the values at `indices` (n, k), times `weights` (n, k)."""

    indices: NDArray[np.intp]
    weights: Array

    @classmethod
    def of(
        cls, targets: NDArray[np.intp], sources: NDArray[np.intp], weights: Array, count: int
    ) -> _Sums:
        """Return the sums of `count` targets, sorted, each of its sources with their weights."""
        starts = np.searchsorted(targets, np.arange(count))
        places = np.arange(len(targets)) - starts[targets]
        sums = cls(
            np.zeros((count, int(places.max()) + 1), np.intp),
            np.zeros((count, int(places.max()) + 1), np.float32),
        )
        sums.indices[targets, places] = sources
        sums.weights[targets, places] = weights
        return sums

    def __call__(self, plane: Array) -> Array:
        """Sum rows (m, w) to (n, w)."""
        total = self.weights[:, :1] * plane[self.indices[:, 0]]
        for place in range(1, self.indices.shape[1]):
            total += self.weights[:, place, None] * plane[self.indices[:, place]]
        return total


@dataclass(frozen=True)
class _Averages:
    """A sparse matrix of means: sums of its `rows`, and of its `columns`, the adjoint's."""

    rows: _Sums
    columns: _Sums


@lru_cache(maxsize=16)
def _averages(before: int, after: int) -> _Averages:
    """Return the means over what each of `after` cells covers of `before`."""
    starts = np.arange(after) * before // after
    ends = -(-(np.arange(after) + 1) * before // after)
    counts = ends - starts
    cells = np.repeat(np.arange(after), counts)
    covered = np.concatenate([np.arange(a, b) for a, b in zip(starts, ends, strict=True)])
    weights = np.repeat((1 / counts).astype(np.float32), counts)
    order = np.argsort(covered, kind="stable")
    return _Averages(
        _Sums.of(cells, covered, weights, after),
        _Sums.of(covered[order], cells[order], weights[order], before),
    )


def _along_both(picture: Array, down: _Sums, across: _Sums) -> Array:
    planes = [np.ascontiguousarray(across(down(plane).T).T) for plane in picture[0]]
    return np.stack(planes)[None]


def _coarse_chroma(planes: Array) -> Array:
    """Chroma planes as means of 2x2, of what there is of them at the border; its own adjoint."""
    height, width = planes.shape[2:]
    pads = ((0, 0), (0, 0), (0, height % 2), (0, width % 2))
    chroma = np.pad(planes[:, 1:], pads, mode="edge")
    coarse = 4 * _quarters(_mean_of_four(chroma))
    return np.concatenate([planes[:, :1], coarse[..., :height, :width]], axis=1)


def _coded(picture: Array, quality: int) -> Array:
    file = io.BytesIO()
    Image.fromarray(to_pixels(picture)).save(file, "JPEG", quality=quality)
    return to_picture(np.asarray(Image.open(file).convert("RGB")))
