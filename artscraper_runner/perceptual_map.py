"""How much each pixel may change before it shows: less where the picture is flat or dark.

Texture masks a change (contrast masking, Legge and Foley 1980): the bound grows with the local
deviation s of luma as sqrt(floor^2 + (slope * s)^2), up to the budget. Smooth shading, which
would count as deviation, is taken out first: on it changes show most. The deviation is the
smallest of the windows around a pixel, so that an edge does not loosen the flat side beside it.
In the dark a screen shows the same step of sRGB more plainly, so the bound shrinks there.

Measured on the held-out pictures: a change that only structural similarity bounds (the same loss
in every window) shows as streaks on skin, which has little texture; hence a floor of its own.
"""

from __future__ import annotations

import torch
from torch.nn import functional

_WINDOW = 7  # px, that of structural similarity
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_DARK_BELOW = 0.2  # luma under which the bound shrinks, 0..1
_DARKEST_SHARE = 0.7  # of the bound, at black


def budget_map(picture: torch.Tensor, *, budget: float, floor: float, slope: float) -> torch.Tensor:
    """Returns float32 (1, 1, H, W) in (0, budget]: the bound of every pixel's change.

    `picture` is float32 (1, 3, H, W) sRGB in [0, 1]. `budget` is the Linf bound and `floor` the
    bound in flat places, both in [0, 1]; `slope` is how much of the local deviation may be added.
    """
    weights = torch.tensor(_LUMA, device=picture.device).view(1, 3, 1, 1)
    luma = (picture * weights).sum(1, keepdim=True)
    mean = _window_mean(luma)
    # A smooth gradient deviates from the mean of its window, but not from its surroundings.
    variance = torch.minimum(_variance(luma), _variance(luma - _window_mean(mean)))
    calmest = -functional.max_pool2d(-variance, _WINDOW, stride=1, padding=_WINDOW // 2)
    amplitude = (floor**2 + slope**2 * calmest).sqrt()
    lit = _DARKEST_SHARE + (1 - _DARKEST_SHARE) * (mean / _DARK_BELOW).clamp(0, 1)
    return (amplitude * lit).clamp(max=budget)


def _variance(values: torch.Tensor) -> torch.Tensor:
    mean = _window_mean(values)
    return (_window_mean(values * values) - mean * mean).clamp_min(0)


def _window_mean(values: torch.Tensor) -> torch.Tensor:
    half = _WINDOW // 2
    return functional.avg_pool2d(values, _WINDOW, stride=1, padding=half, count_include_pad=False)
