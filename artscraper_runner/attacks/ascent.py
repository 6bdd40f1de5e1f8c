"""The step that raises an objective most for its visibility.

Sign steps are steepest where every value may change as much (Linf). Where a bound is on what may be
seen, the steepest step divides the gradient by how visible each change is: for a visibility
sqrt(d' M d) of a change d it is M^-1 g (the natural gradient's form, Amari 1998). M here is the
finest band of `imaging.visibility`: opponent colours, each divided by the limits of its place.
Wider changes are left out: they are more visible for the same effect.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.imaging.filters import gaussian_blur
from artscraper_runner.imaging.opponent import opponent_derivative
from artscraper_runner.imaging.visibility import VisibilityModel

Planes = NDArray[np.float32]
_DETAIL_PX = 1.0  # deviation of the blur that leaves out detail
_PLACE_PX = 3.0  # deviation of the window in which steps are equally visible
_COLOUR = np.array((0.03, 1.0, 0.05), np.float32)  # of the metric: colour shows to some judges
_TINY = np.float32(1e-20)


class VisibleAscent:
    """Steps on one picture, float32 (3, H, W) sRGB in [0, 1]."""

    def __init__(self, model: VisibilityModel, original: Planes) -> None:
        self._derivative = opponent_derivative(original)
        self._metric = model.fine_limits()
        self._metric *= _COLOUR[:, None, None]

    def step(self, gradient: Planes, softness: float) -> Planes:
        """Return a change like `gradient`, (3, H, W), with a visibility of about 1 in each place.

        Places where the step along the gradient is below `softness` times the mean are changed in
        proportion to it, so that what shows is spent where it moves the objective.
        """
        slope = self._derivative.inverse_adjoint(gradient)
        for colour in range(len(slope)):  # small temporaries
            slope[colour] -= gaussian_blur(slope[colour], _DETAIL_PX)
        density = self._metric * _COLOUR[:, None, None]
        shown = np.einsum("chw,chw,chw->hw", slope, slope, density)
        del density
        size = np.sqrt(gaussian_blur(shown, _PLACE_PX))
        size = np.maximum(size, np.float32(softness) * size.mean() + _TINY)
        slope *= self._metric
        slope /= size
        return self._derivative.inverse(slope)
