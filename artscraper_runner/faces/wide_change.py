"""The wide part of a change: what a blur leaves of it.

Fine changes are lost in the grain of skin and paint. Wide ones are read as light and form: a ridge
on a nose, a heavier brow, a shadow on a chin. So cloaks bound what a Gaussian blur leaves.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from artscraper_runner.attacks.transforms import RGB_TO_YCC

_REACH = 3.0  # deviations at which the kernel is cut off
_OVERSHOOT = 1.5  # of the excess, since a blur of what is taken off takes off less


def to_luma_chroma(change: torch.Tensor) -> torch.Tensor:
    """Returns a change (1, 3, h, w) of sRGB as one of luma and two of chroma, as JFIF has them."""
    return torch.einsum("ij,njhw->nihw", change.new_tensor(RGB_TO_YCC), change)


def to_rgb(change: torch.Tensor) -> torch.Tensor:
    """Returns what `to_luma_chroma` was given."""
    inverse = torch.linalg.inv(change.new_tensor(RGB_TO_YCC))
    return torch.einsum("ij,njhw->nihw", inverse, change)


def blurred(planes: torch.Tensor, deviation: float) -> torch.Tensor:
    """Returns planes (1, C, h, w) under a Gaussian of `deviation` px."""
    reach = math.ceil(_REACH * deviation)
    steps = torch.arange(-reach, reach + 1, dtype=planes.dtype, device=planes.device)
    taps = torch.exp(-(steps**2) / (2 * deviation**2))
    taps = taps / taps.sum()
    channels = planes.shape[1]
    padded = functional.pad(planes, (reach,) * 4, mode="replicate")
    rows = functional.conv2d(
        padded, taps.view(1, 1, 1, -1).expand(channels, -1, -1, -1), groups=channels
    )
    return functional.conv2d(
        rows, taps.view(1, 1, -1, 1).expand(channels, -1, -1, -1), groups=channels
    )


def narrowed(planes: torch.Tensor, bounds: torch.Tensor, blur: float) -> torch.Tensor:
    """Returns planes (1, 3, h, w) nearer to what keeps `bounds` (1, 3, 1, 1) under the blur."""
    for _ in range(2):
        wide = blurred(planes, blur)
        excess = wide - torch.minimum(torch.maximum(wide, -bounds), bounds)
        planes = planes - _OVERSHOOT * blurred(excess, blur / 2)
    return planes


def widest(change: torch.Tensor, blur: float) -> float:
    """Returns the largest luma or chroma that the blur leaves of a change (1, 3, h, w) of sRGB."""
    return blurred(to_luma_chroma(change), blur).abs().max().item()
