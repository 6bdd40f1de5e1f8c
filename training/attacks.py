"""The perturbations that a student is trained on: those that attacks would make.

Momentum on the normalised gradient after Dong et al. 2018 (MI-FGSM, arXiv 1710.06081).
Differs: every picture has its own budget and its own aim, and the start is uniform.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from artscraper_runner.attacks.perceptual import budget_map

Network = Callable[[torch.Tensor], torch.Tensor]
# Of a strength's perceptual map, as in `artscraper_runner.attacks.presets.STRENGTHS`.
FLAT_SHARE = 0.1875  # of the budget, in flat places
TEXTURE_PER_LEVEL = 0.375  # of the local deviation, for each level of the budget


@dataclass(frozen=True, kw_only=True)
class AttackMix:
    """The random choices for a batch, or for each picture of it."""

    budgets: tuple[float, ...] = (4.0, 8.0, 8.0, 16.0)  # Linf, of 255; one for each picture
    mapped: float = 0.0  # share of pictures whose budget is a perceptual map below `mapped_budgets`
    mapped_budgets: tuple[float, ...] = (2.0, 3.0, 4.0, 6.0, 8.0)  # Linf, of 255
    towards: float = 0.3  # share of pictures moved to another one's latent; the rest, away
    steps: tuple[int, ...] = (1, 2, 2, 4, 6)
    late_steps: tuple[int, ...] = (2, 4, 6, 10)  # nearly as many as in use, and as costly
    still: float = 0.1  # share of batches with the uniform start only
    two_sizes: float = 0.3  # share of batches attacked at full and half size together
    by_teacher: float = 0.25  # share of batches attacked through the teacher
    teacher_steps: tuple[int, ...] = (1, 2)
    away_gradients: float = 0.5  # share of gradients along the attack's own change of latents


def perturbed(
    network: Network,
    pictures: torch.Tensor,
    *,
    steps: int,
    budget: torch.Tensor,
    towards: torch.Tensor,
    two_sizes: bool,
    generator: torch.Generator,
) -> torch.Tensor:
    """Return pictures whose latents were moved within the budget.

    Args:
        network: float32 (N, 3, H, W) sRGB in [0, 1] to latents float32, differentiable.
        pictures: float32 (N, 3, H, W) sRGB in [0, 1].
        steps: sign steps; 0 gives uniform noise of the budget.
        budget: broadcasts to `pictures`; no channel of a pixel changes by more; in [0, 1].
        towards: bool (N,); True moves to the next picture's latent, False away from its own.
        two_sizes: follow the gradient at full and at half size together.
        generator: makes the uniform start.
    """
    views = (as_is, halved) if two_sizes else (as_is,)
    aims = [_aims(network(view(pictures)).detach(), towards) for view in views] if steps else []
    sign = torch.where(towards, -1.0, 1.0)
    change = torch.rand(pictures.shape, generator=generator).to(pictures) * 2 - 1
    change = (pictures + change * budget).clamp(0, 1) - pictures
    momentum = torch.zeros_like(pictures)
    for _ in range(steps):
        change.requires_grad_(True)
        moved = torch.zeros((), device=pictures.device)
        for view, aim in zip(views, aims, strict=True):
            distance = _relative_distance(network(view(pictures + change)), aim)
            moved = moved + (sign * distance).sum()
        (gradient,) = torch.autograd.grad(moved, change)
        momentum += gradient / gradient.abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-12)
        change = change.detach() + 2 * budget / steps * momentum.sign()
        change = change.clamp(-budget, budget)
        change = (pictures + change).clamp(0, 1) - pictures
    return pictures + change


def as_is(pictures: torch.Tensor) -> torch.Tensor:
    """Return the pictures unchanged."""
    return pictures


def halved(pictures: torch.Tensor) -> torch.Tensor:
    """Return pictures (N, 3, H, W) at half their size."""
    return functional.avg_pool2d(pictures, 2)


def _aims(latents: torch.Tensor, towards: torch.Tensor) -> torch.Tensor:
    return torch.where(towards[:, None, None, None], latents.roll(1, 0), latents)


def _relative_distance(latents: torch.Tensor, aim: torch.Tensor) -> torch.Tensor:
    return (latents - aim).square().mean((1, 2, 3)) / aim.square().mean((1, 2, 3))


def draw_bounds(rng: np.random.Generator, mix: AttackMix, pictures: torch.Tensor) -> torch.Tensor:
    """Draw a bound for each picture of (N, 3, H, W): uniform, or a perceptual map.

    Returns:
        float32 (N, 1, H, W) in [0, 1].
    """
    bounds = [_mapped_bound(rng, mix, picture[None]) for picture in pictures]
    return torch.cat(bounds)


def _mapped_bound(rng: np.random.Generator, mix: AttackMix, picture: torch.Tensor) -> torch.Tensor:
    height, width = picture.shape[-2:]
    if rng.random() >= mix.mapped:
        budget = float(rng.choice(mix.budgets)) / 255
        return picture.new_full((1, 1, height, width), budget)
    budget = float(rng.choice(mix.mapped_budgets)) / 255
    bound = budget_map(
        picture.cpu().numpy(),
        budget=budget,
        floor=FLAT_SHARE * budget,
        slope=TEXTURE_PER_LEVEL * 255 * budget,
    )
    return torch.from_numpy(bound).to(picture)
