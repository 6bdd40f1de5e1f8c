"""Constraints of a perturbation: the sets that the attack loop projects onto.

Perturbations are float32 (1, 3, H, W), of sRGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.attacks.ascent import VisibleAscent
from artscraper_runner.attacks.scaling import MAX_PIXELS
from artscraper_runner.imaging.visibility import VisibilityModel

Array = NDArray[np.float32]
_TINY = 1e-20
REACH = 3.0  # times the amplitude of random signs that show as much, for single pixels


class Constraint(Protocol):
    """A set of allowed perturbations."""

    @property
    def step(self) -> Array:
        """The length of a whole step at each value; broadcasts to the picture, >= 0."""

    def ascent(self, gradient: Array, softness: float) -> Array:
        """Return a whole step along this gradient; see `presets.StepRule`."""

    def project(self, perturbation: Array) -> Array:
        """Return an allowed perturbation near the given one, which may be written to."""


@dataclass(frozen=True)
class Box:
    """A bound of each value that also keeps the picture within [0, 1].

    Args:
        picture: float32 (1, 3, H, W) in [0, 1].
        start: the perturbation so far. Where it exceeds the bound already it may stay or go back,
            but not as far the other way.
        step: the bound; broadcasts to the picture, >= 0.
        refinements: further projections, made one after the other before that onto the box.
    """

    picture: Array
    start: Array
    step: Array
    refinements: Sequence[Callable[[Array], Array]] = ()

    def ascent(self, gradient: Array, softness: float) -> Array:
        """Return `step` by the gradient's sign; in proportion below `softness` times its mean."""
        if not softness:
            return np.sign(gradient) * self.step
        mean = float(np.abs(gradient).mean(dtype=np.float64))
        largest = np.float32(softness * mean + _TINY)
        return np.clip(gradient, -largest, largest) / largest * self.step

    def project(self, perturbation: Array) -> Array:
        """Refine, then clip to the box."""
        for refine in self.refinements:
            perturbation = refine(perturbation)
        limits = np.broadcast_to(self.step, perturbation.shape)
        for channel in range(perturbation.shape[1]):  # kept for none: it would take two pictures
            bound, start, picture, change = (
                each[:, channel] for each in (limits, self.start, self.picture, perturbation)
            )
            low = np.minimum(-bound, start)
            np.maximum(low, -picture, out=low)
            high = np.maximum(bound, start)
            np.minimum(high, 1 - picture, out=high)
            np.clip(change, low, high, out=change)
        return perturbation


class VisibilityBound:
    """A constraint that also scales back further change where it is too visible.

    The change since `start` is scaled in each place, so that its direction there and what stages
    before have done stay; after the constraint that it adds to, whose step is that of single
    pixels that reach far.
    """

    def __init__(
        self,
        constraint: Box,
        model: VisibilityModel,
        *,
        original: Array,
        start: Array,
        visibility: float,
        share: Array,
    ) -> None:
        """Bound perturbations of `original`, the model's picture, like `start` (1, 3, H, W).

        `share`, (1, 1, H, W) in 0..1, is the part of what is left of the bound that each pixel's
        place may use.
        """
        self._constraint = constraint
        self._model = model
        self._original = original[0]
        self._start = start
        self._visible_before = model.places(np.clip(original + start, 0, 1)[0])
        self._share = share
        left = np.maximum(visibility - self._visible_before, 0)
        left *= model.in_places(share[0, 0])
        self._bound = np.minimum(self._visible_before + left, visibility).astype(np.float32)
        self._step_visibility = np.float32(visibility)
        self._ascent: VisibleAscent | None = None

    @property
    def step(self) -> Array:
        """The length of a whole step at each value, 1 / REACH of that of single pixels."""
        return self._constraint.step / np.float32(REACH)

    def ascent(self, gradient: Array, softness: float) -> Array:
        """Return the step that raises the objective most for its visibility."""
        step = self._visible_ascent().step(gradient[0], softness)[None]
        step *= self._step_visibility * self._share
        return step

    def _visible_ascent(self) -> VisibleAscent:
        """Return what steps are taken with, kept for the next one unless it is large."""
        if self._ascent is not None:
            return self._ascent
        ascent = VisibleAscent(self._model, self._original)
        if self._original[0].size <= MAX_PIXELS:
            self._ascent = ascent
        return ascent

    def project(self, perturbation: Array) -> Array:
        """Project by the inner constraint, then scale back what shows too much."""
        inner = self._constraint.project(perturbation)
        share = self._model.share_within(
            np.clip(self._original + inner[0], 0, 1),
            self._bound,
            visible_before=self._visible_before,
        )
        inner -= self._start
        inner *= share[None, None]
        inner += self._start
        return inner
