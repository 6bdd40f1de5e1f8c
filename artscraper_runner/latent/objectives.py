"""Objectives of latent attacks: latent distances, summed over the sizes a picture is seen at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artscraper_runner.attacks.jpeg_gradient import jpeg_gradient
from artscraper_runner.attacks.presets import AttackPreset, ObjectiveWeights
from artscraper_runner.attacks.transforms import View, pieces, resized, scaled
from artscraper_runner.models.graph import release_memory
from artscraper_runner.models.protocol import Encoder, QuadraticObjective

Array = NDArray[np.float32]
Encode = Callable[[Array], Array]
LatentAt = Callable[[tuple[int, int]], Array]  # of a fixed picture, scaled to a size (h, w)
_TINY = 1e-12
_JPEG_QUALITY = 75  # Pillow's and many sites' default


class LatentObjective:
    """Distance from the original and nearness to a target, weighted.

    Called with a picture float32 (1, 3, H, W) sRGB in [0, 1] and the iteration's number from 0, it
    returns the value to be raised and its gradient, in part that of a JPEG of the picture
    (`preset.jpeg_share`).

    Args:
        encoder: gives the gradients.
        latents: returns the latent (1, D) of a fixed picture; may remember it.
        original: the picture that distances are counted from.
        target: returns the latent of the picture to move towards; see `latent_at`.
        before: the layer that the attack starts from, for `stray`; None: the original.
        others: of the pictures that other attacks move towards, for `aside`.
        preset: weights of the terms, and the sizes.
        piece: largest side of what is looked at, in px: the picture is seen in pieces at full size
            alone, since models train on crops too, and a graph needs less memory then, which it
            gives back after each evaluation. None: whole, at the sizes of the preset.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        latents: Encode,
        original: Array,
        target: LatentAt,
        preset: AttackPreset,
        before: Array | None = None,
        others: Sequence[LatentAt] = (),
        piece: int | None = None,
    ) -> None:
        self._encoder, self._jpeg_share = encoder, np.float32(preset.jpeg_share)
        self._releases_memory = piece is not None
        size = (original.shape[2], original.shape[3])
        self._terms: Sequence[tuple[float, View, QuadraticObjective]] = [
            (
                weight,
                view,
                quadratic_objective(
                    latents, preset.weights, original, target, view, before=before, others=others
                ),
            )
            for weight, view in _views(preset, size, piece)
        ]

    def __call__(self, picture: Array, iteration: int) -> tuple[float, Array]:
        value, gradient = 0.0, np.zeros_like(picture)
        for weight, view, objective in self._terms:
            seen = np.ascontiguousarray(view.forward(picture))
            more, slope = self._encoder.value_and_gradient(seen, objective)
            value += weight * more
            slope *= np.float32(weight)
            view.add_adjoint(slope, gradient)
        if self._releases_memory:
            release_memory()
        if self._jpeg_share:
            saved = jpeg_gradient(gradient, picture, quality=_JPEG_QUALITY)
            saved -= gradient
            saved *= self._jpeg_share
            gradient += saved
        return value, gradient


def _views(
    preset: AttackPreset, size: tuple[int, int], piece: int | None
) -> Iterator[tuple[float, View]]:
    if piece is not None:
        parts = pieces(size, piece)
        yield from ((1 / len(parts), part) for part in parts)
        return
    for scale, weight in zip(preset.scales, preset.scale_weights, strict=True):
        yield weight, scaled(size, scale)


def quadratic_objective(
    latents: Encode,
    weights: ObjectiveWeights,
    original: Array,
    target: LatentAt,
    view: View,
    *,
    before: Array | None = None,
    others: Sequence[LatentAt] = (),
) -> QuadraticObjective:
    """Return the weighted terms of one view in one: each is a quadratic, so is their sum."""
    seen = view.forward(original)
    latent = latents(seen)
    spread, offset = weights.away / _square(latent), 0.0
    pull = np.zeros_like(latent)
    if weights.towards or weights.along:
        size = (seen.shape[2], seen.shape[3])
        way = target(size) - latent
        # -|m - way|^2 / |way|^2 = -|m|^2 / |way|^2 + 2 way . m / |way|^2 - |way|^2 / |way|^2
        spread -= weights.towards / _square(way)
        offset = -weights.towards * (_square(way) - _TINY) / _square(way)
        pull = np.float32(2 * weights.towards / _square(way)) * way
        own = way
        for other in others if weights.aside else ():
            theirs = other(size) - latent
            overlap = float((own * theirs).sum(dtype=np.float64)) / _square(theirs)
            own = own - np.float32(weights.aside * overlap) * theirs
        pull = pull + np.float32(weights.along / _square(way)) * own
    if weights.stray:
        strayed = weights.stray / _square(latent)
        done = latents(view.forward(original if before is None else before)) - latent
        # -|m - done|^2 = -|m|^2 + 2 done . m - |done|^2
        spread -= strayed
        pull = pull + np.float32(2 * strayed) * done
        offset -= strayed * (_square(done) - _TINY)
    return QuadraticObjective(latent, spread, pull, offset)


def latent_at(latents: Encode, picture: Array) -> LatentAt:
    """Return the function that gives the latent (1, D) of a picture (1, 3, H, W) at a size."""

    def at(size: tuple[int, int]) -> Array:
        if picture.shape[2:] == size:
            return latents(picture)
        return latents(resized(picture, size, Image.Resampling.BILINEAR))

    return at


def _square(latent: Array) -> float:
    return float(np.square(latent).sum(dtype=np.float64)) + _TINY
