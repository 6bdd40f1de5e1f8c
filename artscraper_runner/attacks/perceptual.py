"""Bound the change of each pixel before it shows: less where the picture is smooth or dark.

Texture masks a change (contrast masking, Legge and Foley 1980): the bound grows with the local
deviation s of luma as sqrt(floor^2 + (slope * s)^2), up to the budget. Three things are no mask:

- Fine texture alone. It hides grain, but not the wider streaks of an attack: old varnish's cracks
  have more deviation than many a painted texture, and streaks on the skin below them showed. So s
  is that of the coarse texture, and at most one and a half times that of all texture.
- Smooth shading, which deviates from its mean too: it is taken out first, curved shading twice.
- An edge beside a flat side: the deviation is the smallest of the windows around a pixel.

In the dark a screen shows the same step of sRGB more plainly, so the bound shrinks there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.imaging.filters import window_mean, window_minimum

Plane = NDArray[np.float32]
Picture = NDArray[np.float32]
_FINE_WINDOW = 7  # px, that of structural similarity
_COARSE_BLUR = 5  # px; finer texture is averaged away
_COARSE_SHADING = 9  # px; wider changes are shading
_COARSE_WINDOW = 15  # px
_COARSE_REACH = 17  # px, over which the calmest window counts
_FINE_GAIN = 1.5  # of the deviation of all texture
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_DARK_BELOW = 0.3  # luma under which the bound shrinks, 0..1
_DARKEST_SHARE = 0.6  # of the bound, at black


def budget_map(picture: Picture, *, budget: float, floor: float, slope: float) -> Picture:
    """Return float32 (1, 1, H, W) in (0, budget]: the bound of every pixel's change.

    Args:
        picture: float32 (1, 3, H, W) sRGB in [0, 1].
        budget: the Linf bound, in [0, 1].
        floor: the bound in flat places, in [0, 1].
        slope: how much of the local deviation may be added.
    """
    red, green, blue = picture[0]
    luma: Plane = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    texture = np.minimum(_FINE_GAIN**2 * _fine_variance(luma), _coarse_variance(luma))
    amplitude = np.sqrt(floor**2 + slope**2 * texture)
    brightness = window_mean(luma, _FINE_WINDOW) / _DARK_BELOW
    lit = _DARKEST_SHARE + (1 - _DARKEST_SHARE) * brightness.clip(0, 1)
    bound = (amplitude * lit).clip(max=budget).astype(np.float32)
    return np.asarray(bound[None, None])


def _fine_variance(luma: Plane) -> Plane:
    """Return the variance without smooth shading, which deviates from the window's mean only."""
    unshaded = _without_shading(luma, _FINE_WINDOW)
    variance = np.minimum(_variance(luma, _FINE_WINDOW), _variance(unshaded, _FINE_WINDOW))
    return window_minimum(variance, _FINE_WINDOW)


def _coarse_variance(luma: Plane) -> Plane:
    texture = window_mean(luma, _COARSE_BLUR)
    for _ in range(2):
        texture = _without_shading(texture, _COARSE_SHADING)
    return window_minimum(_variance(texture, _COARSE_WINDOW), _COARSE_REACH)


def _without_shading(values: Plane, window: int) -> Plane:
    return values - window_mean(window_mean(values, window), window)


def _variance(values: Plane, window: int) -> Plane:
    mean = window_mean(values, window)
    return (window_mean(values * values, window) - mean * mean).clip(min=0)
