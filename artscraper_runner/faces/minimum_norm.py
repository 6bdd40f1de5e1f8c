"""The least change that makes a face another person's to a recogniser.

Steps of steepest ascent whose size follows what the face still lacks, as decoupled direction and
norm have it (Rony et al. 2019, arXiv 1811.09600). Differs: luma and chroma, another norm, momentum,
and bounds on every pixel (the job's Linf) and on the wide part of the change (`wide_change`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from artscraper_runner.faces.objective import CloakObjective
from artscraper_runner.faces.presets import LeastChange
from artscraper_runner.faces.wide_change import narrowed, to_luma_chroma, to_rgb, widest
from artscraper_runner.types import Controls, Progress

_TINY = 1e-20
_LEAST_SHARE, _BISECTIONS = 0.6, 5  # of the change found, when it is lessened at the end
_FOLLOWING = 0.6  # of what a face lacks (relative), how much the size grows
_SLACKENED = 0.7  # how much less the size follows at the end than at the start
_LAST_NARROWINGS = 3  # at the end, so that no single place has the whole change lessened


@dataclass(frozen=True)
class Room:
    """How far each channel of a pixel may go down and up, (1, 3, h, w); `low` <= 0 <= `high`."""

    low: torch.Tensor
    high: torch.Tensor

    @classmethod
    def within(cls, original: torch.Tensor, seen: torch.Tensor, budget: float) -> Room:
        """Returns the room of a layer `seen` within `budget` of `original` and within [0, 1].

        Where the layer is farther off already it may not go farther.
        """
        down, up = original - seen - budget, original - seen + budget
        return cls(
            torch.maximum(down, -seen).clamp(max=0), torch.minimum(up, 1 - seen).clamp(min=0)
        )

    def holds(self, change: torch.Tensor) -> torch.Tensor:
        """Returns the nearest change within."""
        return torch.minimum(torch.maximum(change, self.low), self.high)


def least_change(
    seen: torch.Tensor,
    *,
    room: Room,
    edge: torch.Tensor,
    objective: CloakObjective,
    numbers: LeastChange,
    budget: float,
    controls: Controls,
    what: str,
) -> tuple[torch.Tensor, int]:
    """Returns the change of a region `seen`, (1, 3, h, w) in [0, 1], and the iterations made.

    `edge` (1, 1, h, w) in 0..1 is what the change is multiplied by; `budget`, in [0, 1], is what
    `numbers` are shares of. A face that resists gets what the bounds allow, and is moved by less.

    Raises:
        Cancelled: the caller asked to stop.
    """
    colour = seen.new_tensor([1.0, numbers.colour, numbers.colour]).view(1, 3, 1, 1)
    planes, momentum = torch.zeros_like(seen), torch.zeros_like(seen)
    size = numbers.first_size * budget
    for iteration in range(numbers.iterations):
        controls.checkpoint()
        planes.requires_grad_(True)
        score, share = objective(seen + room.holds(to_rgb(planes * colour) * edge), iteration)
        (gradient,) = torch.autograd.grad(score, planes)
        gradient = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        momentum = numbers.momentum * momentum + gradient / (gradient.norm() + _TINY)
        left = 1 - iteration / numbers.iterations
        if iteration >= numbers.settling:
            size = min(size * _turn(share, left, numbers), numbers.largest_size * budget)
        step = numbers.last_step + (numbers.first_step - numbers.last_step) * left
        planes = planes.detach() + step * size * _direction(momentum, numbers.norm)
        planes = planes * min(1.0, size / (_size(planes) + _TINY))
        planes = _narrowed(planes, room, colour, numbers, budget)
        controls.on_progress(Progress(what, iteration + 1, numbers.iterations))
    for _ in range(_LAST_NARROWINGS):
        planes = _narrowed(planes, room, colour, numbers, budget)
    change = room.holds(to_rgb(planes * colour) * edge)
    change = change * min(1.0, numbers.wide * budget / (widest(change, numbers.blur) + _TINY))
    return _lessened(change, seen, objective), numbers.iterations


def _narrowed(
    planes: torch.Tensor, room: Room, colour: torch.Tensor, numbers: LeastChange, budget: float
) -> torch.Tensor:
    """Luma and chroma, in units of `colour`, nearer to both bounds."""
    planes = narrowed(planes, numbers.wide * budget / colour, numbers.blur)
    return to_luma_chroma(room.holds(to_rgb(planes * colour))) / colour


def _turn(share: float, left: float, numbers: LeastChange) -> float:
    """What the size is multiplied by: less where the face has reached what is enough."""
    lacking = max(-numbers.largest_turn, min(numbers.largest_turn, _FOLLOWING * (1 - share)))
    return math.exp(lacking * (1 - _SLACKENED * (1 - left)))


def _direction(momentum: torch.Tensor, norm: float) -> torch.Tensor:
    """The steepest ascent for the norm of that order, with a mean square of 1."""
    steepest = momentum.sign() * momentum.abs() ** (1 / (norm - 1))
    return steepest / (_size(steepest) + _TINY)


def _size(planes: torch.Tensor) -> float:
    return planes.square().mean().sqrt().item()


def _lessened(change: torch.Tensor, seen: torch.Tensor, objective: CloakObjective) -> torch.Tensor:
    """The smallest share of `change` that is still enough; all of it where that is not."""
    low, high = _LEAST_SHARE, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if objective.reached(seen + middle * change) >= 1:
            high = middle
        else:
            low = middle
    return high * change
