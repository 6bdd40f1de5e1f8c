"""Bound the low-frequency part of a change in faces: the part that passes a Gaussian blur.

What an attack adds to a painted sky is lost in it, but people look closely at faces: the same
amplitude is stubble and a rough skin, and, coarser than the grain of skin or paint, a shadow on a
chin or a colour around an eye. So in faces an attack has half of each pixel's bound, and the
low-frequency part of its change is bounded too, colour more tightly than light, of which the
original has little there. Cloaks bound theirs by the same functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.attacks.transforms import RGB_TO_YCC, YCC_TO_RGB, mix
from artscraper_runner.faces.geometry import Alignment
from artscraper_runner.imaging.filters import correlate, gaussian_taps

Array = NDArray[np.float32]
_REACH = 3.0  # deviations at which the kernel is cut off
_SHARE = 0.5  # of each pixel's bound, inside a face
_ACROSS, _DOWN = 0.44, 0.54  # half axes of a face's oval, shares of the recogniser's square's side
_FADED = 1.4  # times as far from its centre it has no effect any more
_BLUR = 2.0  # px of the working size
# Of the bound of each pixel, for the blurred luma and chroma.
_SHARES = np.array((0.3, 0.1, 0.1), np.float32).reshape(1, 3, 1, 1)
_ROUNDS = 2
_OVERSHOOT = 1.5  # of the excess, since blurring the correction weakens it


def to_luma_chroma(change: Array) -> Array:
    """Return a change (1, 3, h, w) of sRGB as one of luma and two of chroma, as in JFIF."""
    return mix(change, RGB_TO_YCC)


def to_rgb(change: Array) -> Array:
    """Return the change of sRGB for one of luma and chroma."""
    return mix(change, YCC_TO_RGB)


def blurred(planes: Array, deviation: float) -> Array:
    """Return planes (1, C, h, w) under a Gaussian of `deviation` px."""
    taps = gaussian_taps(deviation, _REACH)
    return correlate(correlate(planes, taps, axis=-1), taps, axis=-2)


def clip_low_frequency(
    planes: Array, low: Array, high: Array, blur: float, *, weight: Array | None = None
) -> Array:
    """Return planes (1, 3, h, w) whose blurred values lie nearer to `low`..`high`.

    `weight` (1, 1, h, w) is how much of the correction each pixel gets; None: all of it.
    """
    share = np.float32(_OVERSHOOT) if weight is None else np.float32(_OVERSHOOT) * weight
    for _ in range(_ROUNDS):
        blurry = blurred(planes, blur)
        excess = blurry - np.clip(blurry, low, high)
        planes = planes - share * blurred(excess, blur / 2)
    return planes


def max_low_frequency(change: Array, blur: float) -> float:
    """Return the largest luma or chroma that the blur leaves of a change (1, 3, h, w) of sRGB."""
    return float(np.abs(blurred(to_luma_chroma(change), blur)).max())


@dataclass(frozen=True)
class _Oval:
    """A face's part of the picture; `weight` (1, 1, h, w) fades from 1 inside to 0."""

    rows: slice
    columns: slice
    weight: Array


@dataclass(frozen=True)
class _BoundedFace:
    """The bound of luma and chroma under the blur in a face's part.

    `bound` (1, 1, h, w) is that of each pixel, `before` (1, 3, h, w) what the change so far has,
    which may stay.
    """

    oval: _Oval
    bound: Array
    before: Array

    def project(self, change: Array) -> Array:
        limit = self.bound * _SHARES
        low, high = np.minimum(-limit, self.before), np.maximum(limit, self.before)
        planes = to_luma_chroma(change)
        return to_rgb(clip_low_frequency(planes, low, high, _BLUR, weight=self.oval.weight))


@dataclass(frozen=True)
class FaceBounds:
    """The faces of a picture.

    `bound` (1, 1, H, W) is how far an attack may change each pixel, `share` (1, 1, H, W) the part
    of what it may change elsewhere.
    """

    bound: Array
    share: Array
    faces: tuple[_BoundedFace, ...]

    def project(self, change: Array) -> Array:
        """Return a change (1, 3, H, W) of sRGB, its low frequencies in the faces bounded."""
        for face in self.faces:
            place = (..., face.oval.rows, face.oval.columns)
            change[place] = face.project(change[place])
        return change


def face_bounds(squares: Sequence[Alignment], start: Array, bound: Array) -> FaceBounds:
    """Return the bounds of an attack in the faces whose squares are given.

    Args:
        squares: of the faces, at the size of the picture.
        start: (1, 3, H, W), the change so far, whose own low frequencies (a cloak's) may stay.
        bound: (1, 1, H, W), how far each pixel may change elsewhere.
    """
    size = (start.shape[2], start.shape[3])
    ovals = [oval for oval in (_oval(square, size) for square in squares) if oval is not None]
    in_face = np.zeros_like(bound)  # 0..1; a face that was found twice is one face
    for oval in ovals:
        place = (..., oval.rows, oval.columns)
        in_face[place] = np.maximum(in_face[place], oval.weight)
    share = 1 - np.float32(1 - _SHARE) * in_face
    smaller = bound * share
    faces = []
    for oval in ovals:
        place = (..., oval.rows, oval.columns)
        before = blurred(to_luma_chroma(start[place]), _BLUR)
        faces.append(_BoundedFace(oval, smaller[place], before))
    return FaceBounds(smaller, share, tuple(faces))


def _oval(square: Alignment, size: tuple[int, int]) -> _Oval | None:
    """Return the face's oval as far as it lies in a picture of `size`; None where it does not."""
    height, width = size
    corners = square.corners(2 * _FADED * max(_ACROSS, _DOWN))
    left, top = np.maximum(0, np.floor(corners.min(0)).astype(int))
    right, bottom = np.minimum((width, height), np.ceil(corners.max(0)).astype(int) + 1)
    if right <= left or bottom <= top:
        return None
    x = np.arange(left, right) - square.centre[0]
    y = np.arange(top, bottom)[:, None] - square.centre[1]
    cos, sin = math.cos(square.angle), math.sin(square.angle)
    distance = np.hypot(
        (cos * x + sin * y) / (_ACROSS * square.side),
        (cos * y - sin * x) / (_DOWN * square.side),
    )
    weight = ((_FADED - distance) / (_FADED - 1)).clip(0, 1).astype(np.float32)
    rows, columns = slice(int(top), int(bottom)), slice(int(left), int(right))
    return _Oval(rows, columns, weight[None, None])
