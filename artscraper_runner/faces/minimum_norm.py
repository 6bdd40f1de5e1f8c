"""The smallest change that makes a face another person's to a recogniser.

Steps of steepest ascent whose size follows what the face still lacks, as decoupled direction and
norm have it (DDN, Rony et al. 2019, arXiv 1811.09600). Differs: luma and chroma, another norm,
momentum, and bounds on every pixel (the job's Linf), on the low frequencies of the change and on
what may be seen of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.attacks.evaluation import norm, root_mean_square
from artscraper_runner.attacks.transforms import YCC_TO_RGB, mix
from artscraper_runner.faces.low_frequency import (
    clip_low_frequency,
    max_low_frequency,
    to_luma_chroma,
    to_rgb,
)
from artscraper_runner.faces.objective import CloakObjective
from artscraper_runner.faces.presets import MinimumNormPreset
from artscraper_runner.types import Controls, Progress

Array = NDArray[np.float32]
_TINY = 1e-20
_SMALLEST_SHARE, _BISECTIONS = 0.6, 5  # of the change found, when it is lessened at the end
_FOLLOWING = 0.6  # growth of the size per missing distance (relative)
_SLACKENED = 0.7  # how much less the size follows at the end than at the start
_LAST_PROJECTIONS = 3  # at the end, so that no single place has the whole change lessened


@dataclass(frozen=True)
class Bounds:
    """The range of each channel of a pixel down and up, (1, 3, h, w); `low` <= 0 <= `high`."""

    low: Array
    high: Array

    @classmethod
    def within(cls, original: Array, before: Array, budget: float) -> Bounds:
        """Return the bounds of a layer `before` within `budget` of `original` and within [0, 1].

        Where the layer is farther off already it may not go farther.
        """
        down, up = original - before - np.float32(budget), original - before + np.float32(budget)
        return cls(np.maximum(down, -before).clip(max=0), np.minimum(up, 1 - before).clip(min=0))

    def clip(self, change: Array) -> Array:
        """Return the nearest change within."""
        return np.clip(change, self.low, self.high)

    def adjoint(self, change: Array, gradient: Array) -> Array:
        """Return the gradient of `change` for one of `clip(change)`: none where it was clipped."""
        return np.where((change >= self.low) & (change <= self.high), gradient, 0)


def minimum_norm_attack(
    before: Array,
    *,
    bounds: Bounds,
    edge: Array,
    objective: CloakObjective,
    preset: MinimumNormPreset,
    budget: float,
    controls: Controls,
    what: str,
    share_within: Callable[[Array], Array] | None,
) -> tuple[Array, int]:
    """Return the change of a region (1, 3, h, w) in [0, 1], and the iterations made.

    Args:
        before: the region, float32 (1, 3, h, w) in [0, 1].
        bounds: of each value's change.
        edge: (1, 1, h, w) in 0..1, the factor of the change.
        objective: the term to raise.
        preset: the numbers; shares of `budget`.
        budget: the Linf bound, in [0, 1].
        controls: receive the progress, and may cancel, once an iteration.
        what: name of the work in progress reports.
        share_within: the share (1, 1, h, w) in 0..1 of a change of sRGB that may be seen; None: all
            of it. The loop goes on from what is left, so that it spends what may be seen where that
            moves the face.

    A face that resists gets the full bounds, and is moved by less.

    Raises:
        Cancelled: the caller cancelled.
    """
    space = _Space(bounds, edge, preset, budget, share_within)
    planes, momentum = np.zeros_like(before), np.zeros_like(before)
    size = preset.first_size * budget
    for iteration in range(preset.iterations):
        controls.checkpoint()
        _, slope, share = objective(before + space.change(planes), iteration)
        gradient = np.nan_to_num(space.adjoint(planes, slope), nan=0.0, posinf=0.0, neginf=0.0)
        momentum *= np.float32(preset.momentum)
        momentum += gradient * np.float32(1 / (norm(gradient) + _TINY))
        left = 1 - iteration / preset.iterations
        if iteration >= preset.settling:
            size = min(size * _growth(share, left, preset), preset.largest_size * budget)
        step = preset.last_step + (preset.first_step - preset.last_step) * left
        planes = planes + np.float32(step * size) * _steepest(momentum, preset.norm)
        planes *= np.float32(min(1.0, size / (root_mean_square(planes) + _TINY)))
        planes = space.project(planes)
        controls.on_progress(Progress(what, iteration + 1, preset.iterations))
    for _ in range(_LAST_PROJECTIONS):
        planes = space.project(planes)
    change = space.change(planes)
    reached = max_low_frequency(change, preset.blur)
    change = change * np.float32(min(1.0, preset.low_frequency * budget / (reached + _TINY)))
    return _lessened(change, before, objective), preset.iterations


@dataclass(frozen=True)
class _Space:
    """Luma and chroma planes, in units of `colour`, and the change of sRGB that they represent."""

    bounds: Bounds
    edge: Array
    preset: MinimumNormPreset
    budget: float
    share_within: Callable[[Array], Array] | None

    @property
    def _colour(self) -> Array:
        units = np.array([1.0, self.preset.colour, self.preset.colour], np.float32)
        return units.reshape(1, 3, 1, 1)

    def change(self, planes: Array) -> Array:
        return self.bounds.clip(to_rgb(planes * self._colour) * self.edge)

    def adjoint(self, planes: Array, gradient: Array) -> Array:
        faded = to_rgb(planes * self._colour) * self.edge
        inside = self.bounds.adjoint(faded, gradient) * self.edge
        return mix(inside, YCC_TO_RGB.T) * self._colour

    def project(self, planes: Array) -> Array:
        limits = np.float32(self.preset.low_frequency * self.budget) / self._colour
        planes = clip_low_frequency(planes, -limits, limits, self.preset.blur)
        planes = to_luma_chroma(self.bounds.clip(to_rgb(planes * self._colour))) / self._colour
        if self.share_within is None:
            return planes
        return planes * self.share_within(self.change(planes))


def _growth(share: float, left: float, preset: MinimumNormPreset) -> float:
    """Return the factor of the size: less where the face has reached the target distance."""
    lacking = max(-preset.largest_turn, min(preset.largest_turn, _FOLLOWING * (1 - share)))
    return math.exp(lacking * (1 - _SLACKENED * (1 - left)))


def _steepest(momentum: Array, norm: float) -> Array:
    """Return the steepest ascent for the norm of that order, with a mean square of 1."""
    steepest = np.sign(momentum) * np.abs(momentum) ** np.float32(1 / (norm - 1))
    return steepest * np.float32(1 / (root_mean_square(steepest) + _TINY))


def _lessened(change: Array, before: Array, objective: CloakObjective) -> Array:
    """Return the smallest share of `change` that still reaches the target, else all of it."""
    low, high = _SMALLEST_SHARE, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if objective.reached(before + np.float32(middle) * change) >= 1:
            high = middle
        else:
            low = middle
    return np.float32(high) * change
