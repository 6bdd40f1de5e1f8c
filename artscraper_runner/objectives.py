"""What an attack climbs: latent distances, summed over the sizes a picture may be seen at.

Every term shares one encoder pass per view. Latents are flattened, so an ensemble's joined
answer is treated like a single encoder's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from artscraper_runner.presets import AttackPreset, ObjectiveWeights
from artscraper_runner.transforms import scaled

Encode = Callable[[torch.Tensor], torch.Tensor]
_TINY = 1e-12


@dataclass(frozen=True)
class _Reference:
    """Latents, flat (1, D), of one view: the original's, the target's and the way made so far."""

    original: torch.Tensor
    target: torch.Tensor | None
    gained: torch.Tensor | None


class LatentObjective:
    """Distance from the original, nearness to a target and what was gained before, weighted.

    Called with pictures float32 (1, 3, H, W) sRGB in [0, 1] and the iteration's number from 0,
    it answers a scalar to be raised. `encode` is differentiated through; `reference` answers the
    same latents of fixed pictures and may remember them.
    """

    def __init__(
        self,
        encode: Encode,
        *,
        reference: Encode,
        original: torch.Tensor,
        before: torch.Tensor,
        target: torch.Tensor,
        preset: AttackPreset,
    ) -> None:
        self._encode = encode
        self._preset = preset
        self._references = [
            _reference(
                reference, preset.weights, scaled(original, scale), scaled(before, scale), target
            )
            for scale in preset.scales
        ]

    def __call__(self, pictures: torch.Tensor, iteration: int) -> torch.Tensor:
        preset, total = self._preset, pictures.new_zeros(())
        views = zip(preset.scales, preset.scale_weights, self._references, strict=True)
        for scale, weight, reference in views:
            latent = self._encode(scaled(pictures, scale)).flatten(1)
            total = total + weight * _score(latent, reference, preset.weights)
        return total


@torch.no_grad()
def _reference(
    encode: Encode,
    weights: ObjectiveWeights,
    original: torch.Tensor,
    before: torch.Tensor,
    target: torch.Tensor,
) -> _Reference:
    latent = encode(original).flatten(1)
    aim = gained = None
    if weights.towards or weights.along:
        size = original.shape[-2:]
        sized = functional.interpolate(target, size=size, mode="bilinear", antialias=True)
        aim = encode(sized).flatten(1)
    if weights.keep and not torch.equal(original, before):
        gained = encode(before).flatten(1) - latent
    return _Reference(latent, aim, gained)


def _score(latent: torch.Tensor, reference: _Reference, weights: ObjectiveWeights) -> torch.Tensor:
    moved = latent - reference.original
    score = weights.away * moved.square().sum() / (reference.original.square().sum() + _TINY)
    if reference.target is not None:
        way = reference.target - reference.original
        left = (latent - reference.target).square().sum() / (way.square().sum() + _TINY)
        score = score - weights.towards * left + weights.along * _share(moved, way)
    if reference.gained is not None:
        score = score + weights.keep * _share(moved, reference.gained)
    return score


def _share(moved: torch.Tensor, way: torch.Tensor) -> torch.Tensor:
    return (moved * way).sum() / (way.square().sum() + _TINY)
