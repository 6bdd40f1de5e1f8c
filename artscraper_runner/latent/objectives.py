"""What an attack climbs: latent distances, summed over the sizes a picture may be seen at.

Every term shares one encoder pass per view. Latents are flattened, so an ensemble's joined
answer is treated like a single encoder's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from artscraper_runner.attacks.presets import AttackPreset, ObjectiveWeights
from artscraper_runner.attacks.transforms import scaled

Encode = Callable[[torch.Tensor], torch.Tensor]
_TINY = 1e-12


@dataclass(frozen=True)
class _View:
    """The weighted terms of one view in one: each is a quadratic in the latent, so is their sum.

    With m the way that the latent has made from `original`, flat (1, D), it is
    `spread` |m|^2 + `pull` . m + `offset`.
    """

    original: torch.Tensor
    spread: torch.Tensor
    pull: torch.Tensor
    offset: float

    def score(self, latent: torch.Tensor) -> torch.Tensor:
        moved = latent - self.original
        return (moved * torch.addcmul(self.pull, moved, self.spread)).sum() + self.offset


class LatentObjective:
    """Distance from the original and nearness to a target, weighted.

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
        target: torch.Tensor,
        preset: AttackPreset,
    ) -> None:
        self._encode = encode
        self._preset = preset
        self._views = [
            _view(reference, preset.weights, scaled(original, scale), target)
            for scale in preset.scales
        ]

    def __call__(self, pictures: torch.Tensor, iteration: int) -> torch.Tensor:
        preset, total = self._preset, pictures.new_zeros(())
        views = zip(preset.scales, preset.scale_weights, self._views, strict=True)
        for scale, weight, view in views:
            latent = self._encode(scaled(pictures, scale)).flatten(1)
            total = total + weight * view.score(latent)
        return total


@torch.no_grad()
def _view(
    encode: Encode,
    weights: ObjectiveWeights,
    original: torch.Tensor,
    target: torch.Tensor,
) -> _View:
    latent = encode(original).flatten(1)
    spread = weights.away / _square(latent)
    pull, offset = torch.zeros_like(latent), 0.0
    if weights.towards or weights.along:
        size = original.shape[-2:]
        sized = functional.interpolate(target, size=size, mode="bilinear", antialias=True)
        way = encode(sized).flatten(1) - latent
        # -|m - way|^2 / |way|^2 = -|m|^2 / |way|^2 + 2 way . m / |way|^2 - |way|^2 / |way|^2
        spread = spread - weights.towards / _square(way)
        offset = -weights.towards * float(way.square().sum() / _square(way))
        pull = pull + (2 * weights.towards + weights.along) / _square(way) * way
    return _View(latent, spread, pull, offset)


def _square(latent: torch.Tensor) -> torch.Tensor:
    return latent.square().sum() + _TINY
