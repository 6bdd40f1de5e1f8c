"""The one optimisation loop behind every attack: projected gradient ascent on a picture.

Sign steps on the accumulated, normalised gradient (MI-FGSM, Dong et al. 2018, arXiv 1710.06081;
momentum 0 gives the plain projected sign steps of Madry et al. 2018, arXiv 1706.06083). Differs:
steps and bounds may be smaller where the picture is flat, and the loop ends at a plateau.

The loop is NumPy without a framework: an objective returns its value and its gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.attacks.constraints import Constraint
from artscraper_runner.attacks.presets import StepRule
from artscraper_runner.types import Controls, Progress

Array = NDArray[np.float32]
Objective = Callable[[Array, int], tuple[float, Array]]
_TINY = 1e-20


def sum_of(*terms: Objective) -> Objective:
    """Return the objective that adds up `terms`."""

    def total(picture: Array, iteration: int) -> tuple[float, Array]:
        score, gradient = terms[0](picture, iteration)
        for term in terms[1:]:
            more, slope = term(picture, iteration)
            score += more
            gradient += slope
        return score, gradient

    return total


def optimise(
    picture: Array,
    *,
    start: Array,
    constraint: Constraint,
    objective: Objective,
    rule: StepRule,
    seed: int,
    controls: Controls,
    what: str = "attack",
    taken: int = 0,
    planned: int | None = None,
) -> tuple[Array, int]:
    """Return a perturbation of `picture` within `constraint` that raises `objective`.

    Args:
        picture: float32 (1, 3, H, W) sRGB in [0, 1].
        start: the perturbation so far, shaped like `picture`; zeros at first.
        constraint: the set to project onto, and the length of a whole step.
        objective: (picture, iteration from 0) -> value and gradient, like the picture; the gradient
            may be written to.
        rule: steps, momentum and when to end.
        seed: of the uniform start.
        controls: receive the progress, and may cancel, once an iteration.
        what: name of the work in progress reports.
        taken: steps of the same work before, which progress counts too.
        planned: steps of the work as a whole; None: those of the rule.

    Returns:
        The perturbation, float32 (1, 3, H, W), and the number of steps taken.

    Raises:
        Cancelled: the caller cancelled.
    """
    change = constraint.project(_noisy(start, constraint.step, rule.start_noise, seed))
    del start  # as large as the picture, as all below
    momentum: Array | None = None
    scores: list[float] = []
    for iteration in range(rule.iterations):
        controls.checkpoint()
        score, gradient = objective(picture + change, iteration)
        scores.append(score)
        gradient, size = _finite(gradient)
        gradient *= np.float32(1 / (size + _TINY))
        if momentum is not None:
            momentum *= np.float32(rule.momentum)
            gradient += momentum
        momentum = gradient
        del gradient
        step = constraint.ascent(momentum, rule.softness)
        step *= np.float32(_step_size(rule, iteration))
        step += change
        change = constraint.project(step)
        controls.on_progress(Progress(what, taken + iteration + 1, planned or rule.iterations))
        if _is_plateau(scores, rule):
            break
    return change, len(scores)


def _noisy(start: Array, step: Array, noise: float, seed: int) -> Array:
    """`start`, and uniform noise where it is zero."""
    if not noise:
        return start.copy()
    uniform = np.random.default_rng(seed).random(start.shape, np.float32) * 2 - 1
    return np.where(start == 0, np.float32(noise) * step * uniform, start)


def _finite(gradient: Array) -> tuple[Array, float]:
    """Return the gradient and the mean of its absolute values.

    A black picture or a degenerate view may divide zero by zero: no direction, not a NaN.
    """
    size = _mean_size(gradient)
    if not math.isfinite(size):
        gradient = np.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        size = _mean_size(gradient)
    return gradient, size


def _mean_size(values: Array) -> float:
    return float(np.abs(values).mean(dtype=np.float64))


def _step_size(rule: StepRule, iteration: int) -> float:
    done = iteration / max(1, rule.iterations - 1)
    return rule.first_step + (rule.last_step - rule.first_step) * done


def _is_plateau(scores: list[float], rule: StepRule) -> bool:
    span = rule.plateau_span
    if not span or len(scores) <= span:
        return False
    gain = scores[-1] - scores[-1 - span]
    return gain < rule.plateau_gain * abs(scores[-1 - span])
