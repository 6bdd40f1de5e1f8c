"""Locate a face in a picture, and cut the aligned chip that a recogniser sees of it.

dlib turns, shifts and scales a picture so that five landmarks come to lie where they do in its
mean face, and looks at 150x150 px of it, the chip. Here the same cut is a sparse matrix, so that
its adjoint takes gradients of the chip back to the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.attacks.transforms import View, identity, to_picture
from artscraper_runner.faces.network import CHIP_SIDE
from artscraper_runner.imaging.filters import correlate

Pixels = NDArray[np.uint8]
Array = NDArray[np.float32]
Size = tuple[int, int]  # height, width in px
_PADDING = 0.25  # of the face's size on each side; face_recognition and dlib's examples use it
# Corners of the right and of the left eye, outer then inner, and the base of the nose, in dlib's
# mean face (`get_face_chip_details`), as x, y in 0..1.
_MEAN_FACE = np.array(
    [
        (0.8595674595992, 0.2134981538014),
        (0.6460604764104, 0.2289674387677),
        (0.1205750620789, 0.2137274526848),
        (0.3340850613712, 0.2290642403242),
        (0.4901123135679, 0.6277975316475),
    ]
)

_BINOMIAL = np.array((1, 4, 6, 4, 1), np.float32) / 16
_PYRAMID_SHIFT = (-0.25, 0.25)  # px, x and y
_CHIP_CONTEXT = 1.3  # of the square: the filters before the recogniser reach beyond
_GROWN = 1.1  # of the square: margin for landmarks that move
_GRID = 16  # px; regions are aligned to JPEG's blocks, so that coding treats both alike
_SOFT_EDGE = 0.1  # of the square's side: how far a change takes to fade away
_BAND_ROWS = 256  # of the picture, converted at once: as floats a large one takes gigabytes


@dataclass(frozen=True)
class Alignment:
    """A square in a picture: `centre` (x, y) and `side` in px, turned by `angle` radians.

    Coordinates are of pixel centres. It may reach over the picture's border.
    """

    centre: tuple[float, float]
    side: float
    angle: float

    @classmethod
    def of_landmarks(cls, landmarks: NDArray[np.float64]) -> Alignment:
        """Return dlib's square for its five landmarks, (5, 2) of x, y in px.

        The similarity transform with the least squared error: as complex numbers, a line.
        """
        chip = (_PADDING + _MEAN_FACE) / (2 * _PADDING + 1) * CHIP_SIDE
        x, y = (points[:, 0] + 1j * points[:, 1] for points in (chip, landmarks))
        deviation = x - x.mean()
        turn = np.vdot(deviation, y - y.mean()) / np.vdot(deviation, deviation)
        centre = y.mean() + turn * (complex(CHIP_SIDE // 2, CHIP_SIDE // 2) - x.mean())
        side = CHIP_SIDE * abs(turn)
        return cls((centre.real, centre.imag), float(side), float(np.angle(turn)))

    def moved(
        self, *, across: float = 0, down: float = 0, by: float = 1, turn: float = 0
    ) -> Alignment:
        """Return it shifted by shares of its side, `by` times as large, turned by radians."""
        x, y = self.centre
        centre = (x + across * self.side, y + down * self.side)
        return replace(self, centre=centre, side=self.side * by, angle=self.angle + turn)

    def in_copy(
        self, scale_x: float, scale_y: float, *, left: float = 0, top: float = 0
    ) -> Alignment:
        """Return it in a copy of the picture cut off at `left` and `top` and then scaled."""
        x = (self.centre[0] + 0.5 - left) * scale_x - 0.5
        y = (self.centre[1] + 0.5 - top) * scale_y - 0.5
        return replace(self, centre=(x, y), side=self.side * math.sqrt(scale_x * scale_y))

    def corners(self, grown: float = 1.0) -> NDArray[np.float64]:
        """Return the corners (4, 2) of the square made `grown` times as large."""
        half = self.side * grown / 2
        turn = complex(math.cos(self.angle), math.sin(self.angle)) * half
        offsets = np.array([turn * complex(x, y) for y in (-1, 1) for x in (-1, 1)])
        return np.stack([offsets.real, offsets.imag], 1) + self.centre


def chip_view(alignment: Alignment, size: Size) -> View:
    """Return the view of pictures of `size` as the aligned face, by bilinear sampling.

    It makes float32 (1, C, 150, 150) of (1, C, H, W). What lies outside the picture is black, as
    in dlib. Where the square is twice as large as the chip or more, the picture is halved first.
    All is done as in dlib, but for its rounding of intermediate pictures to 8 bits.
    """
    halvings: list[Size] = []
    while (alignment.side + 1) / 2 > CHIP_SIDE:
        halvings.append(size)
        size = ((size[0] + 1) // 2, (size[1] + 1) // 2)
        x, y = alignment.centre
        # A pixel's centre is at half of where it was; dlib takes another place (`pyramid_down`).
        centre = (x / 2 + _PYRAMID_SHIFT[0], y / 2 + _PYRAMID_SHIFT[1])
        alignment = replace(alignment, centre=centre, side=(alignment.side + 1) / 2)
    samples, (height, width) = _Samples.of(alignment, size), size

    def forward(picture: Array) -> Array:
        for _ in halvings:
            picture = _halved(picture)
        planes = [samples.forward(plane.reshape(-1)) for plane in picture[0]]
        return np.stack(planes).reshape(1, -1, CHIP_SIDE, CHIP_SIDE)

    def adjoint(gradient: Array) -> Array:
        planes = [samples.adjoint(plane.reshape(-1)) for plane in gradient[0]]
        spread = np.stack(planes).reshape(1, -1, height, width)
        for before in reversed(halvings):
            spread = _halved_adjoint(spread, before)
        return spread

    return View(forward, adjoint)


def aligned_face(pixels: Pixels, alignment: Alignment) -> Array:
    """Return float32 (1, 3, 150, 150) in [0, 1]: the face at `alignment` in uint8 (H, W, 3).

    Only what is around it is converted: a large picture would take gigabytes as floats.
    """
    height, width = pixels.shape[:2]
    corners = alignment.corners(_CHIP_CONTEXT)
    left, top = (int(value) for value in np.clip(corners.min(0), 0, (width - 1, height - 1)))
    right, bottom = (int(value) + 2 for value in np.clip(corners.max(0), 0, (width, height)))
    picture = to_picture(pixels[top:bottom, left:right])
    view = chip_view(alignment.in_copy(1, 1, left=left, top=top), picture.shape[2:])
    return view.forward(picture)


@dataclass(frozen=True)
class _Samples:
    """Bilinear samples of a picture of `count` px: `indices` and `weights` of four px each."""

    indices: NDArray[np.intp]
    weights: Array
    count: int

    @classmethod
    def of(cls, alignment: Alignment, size: Size) -> _Samples:
        """Return the samples of the chip's pixels, (150 * 150, 4); none outside the picture."""
        height, width = size
        # The chip's first and last pixels lie on the square's first and last pixels.
        steps = np.linspace(-0.5, 0.5, CHIP_SIDE) * (alignment.side - 1)
        cos, sin = math.cos(alignment.angle), math.sin(alignment.angle)
        x = (alignment.centre[0] + cos * steps - sin * steps[:, None]).reshape(-1)
        y = (alignment.centre[1] + sin * steps + cos * steps[:, None]).reshape(-1)
        left, top = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
        indices = np.empty((4, x.size), np.intp)
        weights = np.zeros((4, x.size), np.float32)
        for corner, (right, below) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
            column, row = left + right, top + below
            share = (1 - np.abs(x - column)) * (1 - np.abs(y - row))
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            weights[corner] = np.where(inside, share, 0)
            indices[corner] = np.where(inside, row * width + column, 0)
        return cls(indices, weights, height * width)

    def forward(self, plane: Array) -> Array:
        """Return the samples of a plane (count,)."""
        total: Array = self.weights[0] * plane[self.indices[0]]
        for indices, weights in zip(self.indices[1:], self.weights[1:], strict=True):
            total += weights * plane[indices]
        return total

    def adjoint(self, gradient: Array) -> Array:
        """Return the gradient of the plane for one of its samples."""
        spread = np.bincount(self.indices.ravel(), (self.weights * gradient).ravel(), self.count)
        return spread.astype(np.float32)


def _interpolated(plane: Array, places: NDArray[np.float64]) -> Array:
    """Return bilinear values of a plane (h, w) at (2, ...) rows and columns, edges extended."""
    last = np.array(plane.shape).reshape(2, *[1] * (places.ndim - 1)) - 1
    places = places.clip(0, last)
    top, left = np.minimum(np.floor(places), np.maximum(last - 1, 0)).astype(np.intp)
    below, right = np.minimum(top + 1, last[0]), np.minimum(left + 1, last[1])
    down, across = places[0] - top, places[1] - left
    upper = plane[top, left] * (1 - across) + plane[top, right] * across
    lower = plane[below, left] * (1 - across) + plane[below, right] * across
    return np.asarray(upper * (1 - down) + lower * down, np.float32)


def _halved(picture: Array) -> Array:
    """Return every second pixel in both directions, each a binomial mean of 5x5, black outside."""
    rows = _decimated(picture, axis=2)
    return _decimated(rows, axis=3)


def _halved_adjoint(gradient: Array, size: Size) -> Array:
    rows = _decimated_adjoint(gradient, size[1], axis=3)
    return _decimated_adjoint(rows, size[0], axis=2)


def _decimated(values: Array, *, axis: int) -> Array:
    side = values.shape[axis]
    count = (side + 1) // 2
    pads = [(0, 0)] * 4
    pads[axis] = (2, 3)
    padded = np.pad(values, pads)
    means = np.zeros_like(_every_second(padded, 0, count, axis))
    for start, weight in enumerate(_BINOMIAL):
        means += weight * _every_second(padded, start, count, axis)
    return means


def _decimated_adjoint(gradient: Array, side: int, *, axis: int) -> Array:
    shape = list(gradient.shape)
    shape[axis] = side + 5
    spread = np.zeros(shape, np.float32)
    for start, weight in enumerate(_BINOMIAL):
        _every_second(spread, start, gradient.shape[axis], axis)[...] += weight * gradient
    return np.take(spread, np.arange(2, 2 + side), axis)


def _every_second(values: Array, start: int, count: int, axis: int) -> Array:
    places = [slice(None)] * 4
    places[axis] = slice(start, start + 2 * count, 2)
    return values[tuple(places)]


@dataclass(frozen=True)
class FaceRegion:
    """The part of a picture around a face, at the recogniser's resolution.

    `rows` and `columns` of the picture, seen `shrunk` times smaller, a power of two. `alignment`
    is the recogniser's square in that smaller view.
    """

    rows: slice
    columns: slice
    shrunk: int
    alignment: Alignment

    @classmethod
    def around(cls, alignment: Alignment, size: Size) -> FaceRegion | None:
        """Return the region for a square in a picture of `size` (height, width).

        None where the square lies outside the picture.
        """
        shrunk = 1
        while alignment.side / shrunk >= 2 * CHIP_SIDE:
            shrunk *= 2
        corners = alignment.corners(_GROWN)
        grid = max(_GRID, shrunk)
        left, top = np.maximum(0, np.floor(corners.min(0) / grid).astype(int) * grid)
        right, bottom = np.minimum(size[::-1], np.ceil(corners.max(0)).astype(int) + 1)
        width, height = (int(right - left) // shrunk, int(bottom - top) // shrunk)
        if width < 1 or height < 1:
            return None
        return cls(
            slice(int(top), int(top) + height * shrunk),
            slice(int(left), int(left) + width * shrunk),
            shrunk,
            alignment.in_copy(1 / shrunk, 1 / shrunk, left=float(left), top=float(top)),
        )

    @property
    def size(self) -> Size:
        """Height and width of the view, in px."""
        height = (self.rows.stop - self.rows.start) // self.shrunk
        width = (self.columns.stop - self.columns.start) // self.shrunk
        return height, width

    def cut(self, pixels: Pixels) -> Pixels:
        """Return the region of uint8 (H, W, 3) or (H, W), at full size."""
        return pixels[self.rows, self.columns]

    def seen(self, pixels: Pixels) -> Array:
        """Return the region of uint8 (H, W, 3) as float32 (1, 3, h, w) in [0, 1], shrunk."""
        return shrunk_picture(self.cut(pixels), self.shrunk)

    def softened(self) -> View:
        """Return the view of the region with the sharpness of dlib's reductions.

        dlib halves a large face by binomial means, whose variance is 1 px^2 at each size: down to
        this view, (1 - 1 / shrunk^2) / 3 px^2 of its own. The averages that made it blur less.
        """
        side = (1 - self.shrunk**-2) / 6
        taps = (1 - 2 * side, side)

        def blur(picture: Array) -> Array:
            return correlate(correlate(picture, taps, axis=-2), taps, axis=-1)

        if self.shrunk == 1:
            return identity()
        return View(blur, blur)  # symmetric, also at the border: its own adjoint

    def face_view(self, alignment: Alignment | None = None) -> View:
        """Return the aligned face as dlib sees it, at `alignment` or at the region's own."""
        return self.softened().then(chip_view(alignment or self.alignment, self.size))

    def soft_edge(self) -> Array:
        """Return float32 (1, 1, h, w): 1 inside the square, 0 at its border and outside."""
        across, down = self._chip_positions()
        inside = (0.5 - np.maximum(np.abs(across), np.abs(down))) / _SOFT_EDGE
        inside = inside.clip(0, 1)
        return np.asarray(inside * inside * (3 - 2 * inside), np.float32)[None, None]

    def from_chip(self, change: Array) -> Array:
        """Return a change of the aligned face (1, 3, 150, 150) where it lies in the region."""
        across, down = self._chip_positions()
        places = (np.stack([down, across]) + 0.5) * (CHIP_SIDE - 1)
        return np.stack([_interpolated(plane, places) for plane in change[0]])[None]

    def _chip_positions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return where each pixel (h, w) lies in the square: -0.5..0.5 across and down."""
        height, width = self.size
        y, x = np.mgrid[0:height, 0:width].astype(np.float64)
        x, y = x - self.alignment.centre[0], y - self.alignment.centre[1]
        cos, sin = math.cos(self.alignment.angle), math.sin(self.alignment.angle)
        side = max(1.0, self.alignment.side - 1)
        return (cos * x + sin * y) / side, (cos * y - sin * x) / side


def shrunk_picture(pixels: Pixels, shrunk: int) -> Array:
    """Return uint8 (H, W, 3) as float32 (1, 3, H // shrunk, W // shrunk) in [0, 1], by averaging.

    `shrunk` is a power of two, 1 for the same size; rows and columns left over are dropped.
    """
    height, width = (side // shrunk * shrunk for side in pixels.shape[:2])
    if shrunk == 1:
        return to_picture(pixels[:height, :width])
    bands = []
    for top in range(0, height, max(_BAND_ROWS, shrunk)):
        rows = pixels[top : min(top + max(_BAND_ROWS, shrunk), height), :width]
        cells = rows.reshape(len(rows) // shrunk, shrunk, width // shrunk, shrunk, 3)
        sums = cells.sum((1, 3), dtype=np.uint32)
        bands.append(sums.astype(np.float32) / np.float32(255 * shrunk**2))
    return np.ascontiguousarray(np.concatenate(bands).transpose(2, 0, 1)[None])
