"""Strength of the tiled mark in each place: high in texture, low in flat areas.

The amplitude follows the local activity, the standard deviation of texture finer than shading.
Activity is the smallest of all windows that touch a place, so an edge or a line hides nothing
beside it. Two bands are judged apart, because fine grain hides a fine wave and not a wide one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from artscraper_runner.imaging.filters import window_mean, window_minimum

Floats = npt.NDArray[np.float32]

_DARK_BELOW = 76.0  # levels of luma; a screen shows the same step more plainly in the dark
_DARKEST_SHARE = 0.6  # of the amplitude in texture, at black


@dataclass(frozen=True)
class _Texture:
    """Sizes in px of square windows: texture lies between `blur` and `shading`."""

    blur: int
    shading: int
    window: int
    reach: int  # over which the smallest deviation counts: wider than all the others together
    smooth: int  # less than what `reach` has to spare, so that nothing leaks over an edge


_FINE_GAIN = 2.0  # of the fine activity, which bounds the coarse: lines around a flat hide nothing
_COARSE = _Texture(blur=5, shading=15, window=15, reach=33, smooth=9)
_FINE = _Texture(blur=3, shading=5, window=9, reach=17, smooth=7)


def local_activity(luma: Floats) -> tuple[Floats, Floats]:
    """Return the activity of luma, float32 (h, w) in levels, for the lower and the upper band."""
    lit = window_mean(luma, 7) / np.float32(_DARK_BELOW)
    lit = _DARKEST_SHARE + (1 - _DARKEST_SHARE) * lit.clip(0, 1)
    coarse, fine = (_least_deviation(luma, texture) * lit**2 for texture in (_COARSE, _FINE))
    coarse = np.minimum(coarse, _FINE_GAIN * fine)
    return coarse.astype(np.float32), fine.astype(np.float32)


def amplitudes(activity: Floats, *, flat: float, texture: float, most: float) -> Floats:
    """Return the mark's local standard deviation in levels, float32 like `activity`.

    Args:
        activity: of one band, in levels.
        flat: the amplitude in flat places, in levels.
        texture: levels of amplitude at an activity of one level; it grows with the square root.
        most: the largest amplitude, in levels.
    """
    strength: Floats = np.sqrt(np.float32(flat**2) + np.float32(texture**2) * activity)
    return strength.clip(max=np.float32(most))


def _least_deviation(luma: Floats, texture: _Texture) -> Floats:
    values = window_mean(luma, texture.blur)
    values = values - window_mean(values, texture.shading)
    mean = window_mean(values, texture.window)
    power = window_mean(values * values, texture.window)
    deviation = np.sqrt(np.maximum(power - mean * mean, 0))
    least = window_minimum(deviation, texture.reach)
    smooth: Floats = window_mean(least, texture.smooth)
    return smooth
