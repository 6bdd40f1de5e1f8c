"""The one optimisation loop behind every attack: projected gradient ascent on a picture.

Sign steps on the accumulated, normalised gradient (MI-FGSM, Dong et al. 2018, arXiv 1710.06081;
momentum 0 gives the plain projected sign steps of Madry et al. 2018, arXiv 1706.06083). Differs:
steps and bounds may be smaller where the picture is flat, and the loop ends at a plateau.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from artscraper_runner.attacks.presets import StepRule
from artscraper_runner.types import Controls, Progress

Objective = Callable[[torch.Tensor, int], torch.Tensor]
Shaping = Callable[[torch.Tensor], torch.Tensor]
_TINY = 1e-20


def _as_it_is(change: torch.Tensor) -> torch.Tensor:
    return change


def sum_of(*terms: Objective) -> Objective:
    """Returns the objective that adds up `terms`."""

    def total(pictures: torch.Tensor, iteration: int) -> torch.Tensor:
        return torch.stack([term(pictures, iteration) for term in terms]).sum()

    return total


@dataclass(frozen=True)
class Outcome:
    """What the loop found: `perturbation` float32 (1, 3, H, W), and how it went.

    `scores` holds the objective at the start of every iteration.
    """

    perturbation: torch.Tensor
    scores: tuple[float, ...]

    @property
    def iterations(self) -> int:
        """The number of steps taken."""
        return len(self.scores)


def optimise(
    picture: torch.Tensor,
    *,
    start: torch.Tensor,
    bound: torch.Tensor,
    objective: Objective,
    rule: StepRule,
    seed: int,
    controls: Controls,
    what: str = "attack",
    calmed: Shaping = _as_it_is,
) -> Outcome:
    """Returns a perturbation of `picture` within `bound` that raises `objective`.

    Args:
        picture: float32 (1, 3, H, W) sRGB in [0, 1].
        start: the perturbation so far, like `picture`; zeros when there is none.
        bound: broadcasts to `picture`, >= 0; no channel of a pixel changes by more, or, where
            `start` has passed it, further.
        objective: (picture, iteration from 0) -> scalar, differentiable in the picture.
        rule: steps, momentum and when to end.
        seed: of the uniform start.
        controls: asked to stop and told of the progress once an iteration.
        what: names the work in progress reports.
        calmed: takes a change to one that is less visible, before it is bounded.

    Raises:
        Cancelled: the caller asked to stop.
    """
    room = _room(picture, start, bound)
    change = _started(start, bound, rule.start_noise, seed).clamp(*room)
    momentum = torch.zeros_like(picture)
    scores: list[float] = []
    for iteration in range(rule.iterations):
        controls.checkpoint()
        gradient, size, score = _gradient(objective, picture, change, iteration)
        scores.append(score)
        momentum.mul_(rule.momentum).add_(gradient, alpha=1 / (size + _TINY))
        direction, largest = _direction(momentum, rule.softness)
        change.addcmul_(direction, bound, value=_step_size(rule, iteration) / largest)
        change = calmed(change).clamp_(*room)
        controls.on_progress(Progress(what, iteration + 1, rule.iterations))
        if _is_plateau(scores, rule):
            break
    return Outcome(change, tuple(scores))


def _started(start: torch.Tensor, bound: torch.Tensor, noise: float, seed: int) -> torch.Tensor:
    """`start`, and uniform noise where it is zero."""
    if not noise:
        return start
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(start.shape, generator=generator).to(start) * 2 - 1
    return torch.where(start == 0, noise * bound * drawn, start)


def _room(
    picture: torch.Tensor, start: torch.Tensor, bound: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The least and the largest change: within the bound, and the picture stays in [0, 1].

    Where `start` has passed the bound it may stay or go back, but not as far the other way.
    """
    least, largest = torch.minimum(-bound, start), torch.maximum(bound, start)
    return torch.maximum(least, -picture), torch.minimum(largest, 1 - picture)


def _gradient(
    objective: Objective, picture: torch.Tensor, change: torch.Tensor, iteration: int
) -> tuple[torch.Tensor, float, float]:
    """The objective's gradient, the mean of its absolute values, and the objective itself."""
    moved = (picture + change).requires_grad_(True)
    score = objective(moved, iteration)
    (gradient,) = torch.autograd.grad(score, moved)
    size = _mean_size(gradient)
    if not math.isfinite(size):
        # A black picture or a degenerate view may divide zero by zero: no direction, not a NaN.
        gradient = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        size = _mean_size(gradient)
    return gradient, size, score.item()


def _mean_size(values: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(values, 1)) / values.numel()


def _direction(momentum: torch.Tensor, softness: float) -> tuple[torch.Tensor, float]:
    """Signs, or what lies below `softness` times the mean in proportion; and the largest value."""
    if not softness:
        return momentum.sign(), 1.0
    largest = softness * _mean_size(momentum) + _TINY
    return momentum.clamp(-largest, largest), largest


def _step_size(rule: StepRule, iteration: int) -> float:
    done = iteration / max(1, rule.iterations - 1)
    return rule.first_step + (rule.last_step - rule.first_step) * done


def _is_plateau(scores: list[float], rule: StepRule) -> bool:
    span = rule.plateau_span
    if not span or len(scores) <= span:
        return False
    gain = scores[-1] - scores[-1 - span]
    return gain < rule.plateau_gain * abs(scores[-1 - span])
