"""Keep attacks from redrawing faces: bound the wide part of a change in them.

What an attack adds to a painted sky is lost in it, but everybody reads faces: the same amplitude,
wider than the grain of skin or paint, becomes a shadow on a chin or a colour around an eye, and
shows sooner in chroma, which the original has little of there. So in faces what a blur leaves of
an attack's change (`wide_change`) is bounded, and colour more tightly than light.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from artscraper_runner.faces.alignment import Alignment
from artscraper_runner.faces.wide_change import blurred, to_luma_chroma, to_rgb

_GROWN = 1.3  # of the recogniser's square: forehead, chin and ears too
_BLUR = 2.0  # px of the working size
_LUMA, _CHROMA = 0.3, 0.1  # of the bound of each pixel, for what the blur leaves
_ROUNDS = 2
_OVERSHOOT = 1.5  # of the excess, since a blur of what is taken off takes off less
_SOFT_EDGE = 0.15  # of a face's side, over which the bound begins


@dataclass(frozen=True)
class _CalmFace:
    """A face's part of the picture; `low` and `high` (1, 3, h, w) bound luma and chroma under the
    blur, and `edge` (1, 1, h, w) fades from 1 inside to 0 at the border.
    """

    rows: slice
    columns: slice
    low: torch.Tensor
    high: torch.Tensor
    edge: torch.Tensor

    def calmed(self, change: torch.Tensor) -> torch.Tensor:
        planes = to_luma_chroma(change)
        for _ in range(_ROUNDS):
            wide = blurred(planes, _BLUR)
            excess = wide - torch.minimum(torch.maximum(wide, self.low), self.high)
            planes = planes - _OVERSHOOT * self.edge * blurred(excess, _BLUR / 2)
        return to_rgb(planes)


def calm_faces(
    squares: Sequence[Alignment], start: torch.Tensor, bound: torch.Tensor
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Returns what takes a change (1, 3, H, W) of sRGB back to what is calm in the faces.

    `squares` are the faces' at the size of the picture; `start` is the change so far, whose own
    wide part (a cloak's) may stay; `bound` (1, 1, H, W) is how far each pixel may change.
    """
    height, width = start.shape[2:]
    faces = []
    for square in squares:
        corners = square.corners(_GROWN)
        left, top = np.maximum(0, np.floor(corners.min(0)).astype(int))
        right, bottom = np.minimum((width, height), np.ceil(corners.max(0)).astype(int) + 1)
        if right > left and bottom > top:
            place = (slice(int(top), int(bottom)), slice(int(left), int(right)))
            faces.append(_calm_face(*place, start, bound))

    def calmed(change: torch.Tensor) -> torch.Tensor:
        calm = change.clone()
        for face in faces:
            calm[..., face.rows, face.columns] = face.calmed(calm[..., face.rows, face.columns])
        return calm

    return calmed


def _calm_face(rows: slice, columns: slice, start: torch.Tensor, bound: torch.Tensor) -> _CalmFace:
    limit = bound[..., rows, columns] * bound.new_tensor((_LUMA, _CHROMA, _CHROMA)).view(1, 3, 1, 1)
    before = blurred(to_luma_chroma(start[..., rows, columns]), _BLUR)
    height, width = before.shape[2:]
    across, down = (_ramp(size, max(height, width)).to(bound) for size in (width, height))
    edge = (down[:, None] * across[None, :])[None, None]
    return _CalmFace(
        rows, columns, torch.minimum(-limit, before), torch.maximum(limit, before), edge
    )


def _ramp(size: int, side: int) -> torch.Tensor:
    """Rises from 0 at either end to 1 within a share of the face's `side`."""
    steps = torch.arange(size, dtype=torch.float32)
    nearest = torch.minimum(steps, size - 1 - steps)
    return (nearest / max(1.0, _SOFT_EDGE * side)).clamp(0, 1)
