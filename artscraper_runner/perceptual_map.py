"""How much each pixel may change before it shows: less where the picture is flat.

The map follows from structural similarity (Wang et al. 2004). In a window of luma variance s, an
independent change of variance n lowers SSIM to about (2 s + C) / (2 s + n + C), C = (0.03 * 255)^2.
Letting every window lose the same share t gives n = t / (1 - t) * (2 s + C): the amplitude grows
with the local deviation (masking by texture) and has a floor in flat areas. The variance is the
smallest of the windows around a pixel, so that an edge does not loosen the flat side beside it.
"""

from __future__ import annotations

import torch
from torch.nn import functional

_WINDOW = 7  # px, SSIM's own
_C2 = (0.03 * 255) ** 2  # SSIM's constant, for values of 0..255
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def budget_map(picture: torch.Tensor, *, budget: float, ssim_loss: float) -> torch.Tensor:
    """Returns float32 (1, 1, H, W) in (0, budget]: the bound of every pixel's change.

    `picture` is float32 (1, 3, H, W) sRGB in [0, 1], `budget` the Linf bound in [0, 1], and
    `ssim_loss` the share t that a window may lose, 0..1.
    """
    variance = _calmest_variance(picture)
    share = ssim_loss / (1 - ssim_loss)
    amplitude = (share * (2 * variance + _C2)).sqrt() / 255
    return amplitude.clamp(max=budget)


def _calmest_variance(picture: torch.Tensor) -> torch.Tensor:
    """The smallest luma variance (of 0..255 squared) of the windows that lie around each pixel."""
    weights = torch.tensor(_LUMA, device=picture.device).view(1, 3, 1, 1)
    luma = (picture * weights).sum(1, keepdim=True) * 255
    mean = _window_mean(luma)
    variance = (_window_mean(luma * luma) - mean * mean).clamp_min(0)
    half = _WINDOW // 2
    return -functional.max_pool2d(-variance, _WINDOW, stride=1, padding=half)


def _window_mean(values: torch.Tensor) -> torch.Tensor:
    half = _WINDOW // 2
    return functional.avg_pool2d(values, _WINDOW, stride=1, padding=half, count_include_pad=False)
