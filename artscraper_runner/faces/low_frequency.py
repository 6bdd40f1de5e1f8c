"""Keep attacks from redrawing faces: half the change in them, and a bound on its wide part.

What an attack adds to a painted sky is lost in it, but everybody reads faces: the same amplitude
is stubble and a rough skin, and, wider than the grain of skin or paint, a shadow on a chin or a
colour around an eye. So in faces an attack has half of each pixel's bound, and what a blur leaves
of its change (`wide_change`) is bounded too, colour more tightly than light, which the original
has little of there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from artscraper_runner.faces.geometry import Alignment
from artscraper_runner.faces.model_files import is_installed
from artscraper_runner.faces.recogniser import faces_in
from artscraper_runner.faces.wide_change import blurred, to_luma_chroma, to_rgb

Pixels = NDArray[np.uint8]
_SHARE = 0.5  # of each pixel's bound, inside a face
_ACROSS, _DOWN = 0.44, 0.54  # half axes of a face's oval, shares of the recogniser's square's side
_FADED = 1.4  # times so far from its middle it has no effect any more
_BLUR = 2.0  # px of the working size
_LUMA, _CHROMA = 0.3, 0.1  # of the bound of each pixel, for what the blur leaves
_ROUNDS = 2
_OVERSHOOT = 1.5  # of the excess, since a blur of what is taken off takes off less


@dataclass(frozen=True)
class _Oval:
    """A face's part of the picture; `weight` (1, 1, h, w) fades from 1 inside to 0."""

    rows: slice
    columns: slice
    weight: torch.Tensor


@dataclass(frozen=True)
class _CalmFace:
    """`low` and `high` (1, 3, h, w) bound luma and chroma under the blur in a face's part."""

    oval: _Oval
    low: torch.Tensor
    high: torch.Tensor

    def calmed(self, change: torch.Tensor) -> torch.Tensor:
        planes = to_luma_chroma(change)
        for _ in range(_ROUNDS):
            wide = blurred(planes, _BLUR)
            excess = wide - torch.minimum(torch.maximum(wide, self.low), self.high)
            planes = planes - _OVERSHOOT * self.oval.weight * blurred(excess, _BLUR / 2)
        return to_rgb(planes)


@dataclass(frozen=True)
class CalmFaces:
    """The faces of a picture; `bound` (1, 1, H, W) is how far an attack may change each pixel."""

    bound: torch.Tensor
    faces: tuple[_CalmFace, ...]

    def calmed(self, change: torch.Tensor) -> torch.Tensor:
        """Returns a change (1, 3, H, W) of sRGB taken back to what is calm in the faces."""
        if not self.faces:
            return change
        calm = change.clone()
        for face in self.faces:
            place = (..., face.oval.rows, face.oval.columns)
            calm[place] = face.calmed(calm[place])
        return calm


def face_squares(original: Pixels, size: tuple[int, int]) -> tuple[Alignment, ...]:
    """Returns the squares of the faces of `original`, uint8 (H, W, 3), in a copy of `size`.

    `size` is (height, width) in px. Without the extra `faces` none are found.
    """
    if not is_installed():
        return ()
    height, width = original.shape[:2]
    scales = (size[1] / width, size[0] / height)
    return tuple(face.alignment.seen_at(*scales) for face in faces_in(original))


def calm_faces(squares: Sequence[Alignment], start: torch.Tensor, bound: torch.Tensor) -> CalmFaces:
    """Returns what keeps an attack calm in the faces whose squares are given.

    `squares` are at the size of the picture; `start` (1, 3, H, W) is the change so far, whose own
    wide part (a cloak's) may stay; `bound` (1, 1, H, W) is how far each pixel may change elsewhere.
    """
    found = [_oval(square, start) for square in squares]
    ovals = [oval for oval in found if oval is not None]
    in_face = torch.zeros_like(bound)  # 0..1; a face that was found twice is one face
    for oval in ovals:
        place = (..., oval.rows, oval.columns)
        in_face[place] = torch.maximum(in_face[place], oval.weight)
    quieter = bound * (1 - (1 - _SHARE) * in_face)
    return CalmFaces(quieter, tuple(_calm_face(oval, start, quieter) for oval in ovals))


def _calm_face(oval: _Oval, start: torch.Tensor, bound: torch.Tensor) -> _CalmFace:
    place = (..., oval.rows, oval.columns)
    limit = bound[place] * bound.new_tensor((_LUMA, _CHROMA, _CHROMA)).view(1, 3, 1, 1)
    before = blurred(to_luma_chroma(start[place]), _BLUR)
    return _CalmFace(oval, torch.minimum(-limit, before), torch.maximum(limit, before))


def _oval(square: Alignment, picture: torch.Tensor) -> _Oval | None:
    """The face's oval as far as it lies in the picture (1, 3, H, W); None where it does not."""
    height, width = picture.shape[2:]
    corners = square.corners(2 * _FADED * max(_ACROSS, _DOWN))
    left, top = np.maximum(0, np.floor(corners.min(0)).astype(int))
    right, bottom = np.minimum((width, height), np.ceil(corners.max(0)).astype(int) + 1)
    if right <= left or bottom <= top:
        return None
    x = torch.arange(left, right, dtype=torch.float32) - square.centre[0]
    y = torch.arange(top, bottom, dtype=torch.float32)[:, None] - square.centre[1]
    cos, sin = math.cos(square.angle), math.sin(square.angle)
    distance = torch.hypot(
        (cos * x + sin * y) / (_ACROSS * square.side),
        (cos * y - sin * x) / (_DOWN * square.side),
    )
    weight = ((_FADED - distance) / (_FADED - 1)).clamp(0, 1)
    rows, columns = slice(int(top), int(bottom)), slice(int(left), int(right))
    return _Oval(rows, columns, weight[None, None].to(picture))
