"""Measure the effect of a change on an encoder, beside that of noise.

Effect = norm(E(x') - E(x)) / norm(E(x)): the relative displacement of the latent. It is always
given with that of noise, since any noise moves latents: random signs of the same mean square error,
and noise that has the change's own spectrum and places as well (`shaped_noise`). A change that does
not clearly beat shaped noise protects no better than noise, and is not called effective. For scale,
the effect of JPEG 75 on the clean picture is given too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artscraper_runner.attacks.run_cache import RunCache
from artscraper_runner.attacks.shaped_noise import shaped_noise
from artscraper_runner.attacks.transforms import resized, scaled, through_jpeg
from artscraper_runner.errors import NoNumbers
from artscraper_runner.models.protocol import Encoder
from artscraper_runner.types import Json

Array = NDArray[np.float32]
EFFECTIVE_RATIO = 1.3  # times the effect of noise
_JPEG_QUALITY = 75
_NOISE_SEED = 5
_NOISE_ROUNDS = 8
_SHORTEST_WAY = 0.01  # to a target, as a share of the latent
EVERYWHERE = np.ones((1, 1, 1, 1), np.float32)  # a visible part that broadcasts to any picture


def halved_and_enlarged(picture: Array) -> Array:
    """Return a picture after halving its size by area and enlarging it bicubically."""
    size = (picture.shape[2], picture.shape[3])
    back = resized(scaled(size, 0.5).forward(picture), size, Image.Resampling.BICUBIC)
    return back.clip(0, 1)


VIEWS: dict[str, Callable[[Array], Array]] = {
    "plain": lambda picture: picture,
    "jpeg_75": through_jpeg(_JPEG_QUALITY).forward,
    "halved": halved_and_enlarged,
}


@dataclass(frozen=True)
class Observer:
    """An encoder, and the run's memory of the latents that it gave.

    A job evaluates the same few pictures repeatedly: the original, the target, each layer.
    Pictures are float32 (1, 3, H, W) sRGB in [0, 1].
    """

    encoder: Encoder
    cache: RunCache = field(default_factory=RunCache)

    def latent(self, picture: Array) -> Array:
        """Return the latent (1, D) of a picture.

        Raises:
            NoNumbers: the encoder is broken.
        """
        key = (self.encoder.name, self.cache.digest(picture))
        return self.cache.remember("latent", key, lambda: self._encoded(picture))

    def _encoded(self, picture: Array) -> Array:
        latent = self.encoder.latents(np.ascontiguousarray(picture))
        if not np.isfinite(latent).all():
            raise NoNumbers(self.encoder.name)
        return latent

    def displacement(self, original: Array, changed: Array, *, since: Array | None = None) -> float:
        """Return the effect, from 0; 0 too where the original's latent has no length.

        Args:
            original: the picture; the length of its latent is the unit.
            changed: the picture that is looked at.
            since: the picture that the latent's way is counted from; None: the original.
        """
        before = self.latent(original if since is None else since)
        size = norm(self.latent(original))
        return norm(self.latent(changed) - before) / size if size else 0.0

    def progress(self, original: Array, changed: Array, target: Array) -> float | None:
        """Return the share of the way to the latent `target` that was made along that way.

        The projection of the displacement on the line from the original's latent to the target's:
        0 = none, 1 = level with the target, below 0 = the other way. None where that way is at
        most 1 % of the original's latent: the original is the target already, or almost.
        """
        before = self.latent(original)
        way = target - before
        length = norm(way)
        if length <= _SHORTEST_WAY * norm(before):
            return None
        return float(((self.latent(changed) - before) * way).sum(dtype=np.float64)) / length**2


def effect_record(
    observer: Observer,
    original: Array,
    changed: Array,
    *,
    views: tuple[str, ...] = tuple(VIEWS),
    visible: Array = EVERYWHERE,
) -> Json:
    """Return effects by view, beside the effects of noise, and the `encoder`'s name.

    `effect`; `noise_effect` and `times_noise` of random signs; `shaped_noise_effect` and
    `times_shaped_noise`; `clean_jpeg_75_effect`, what JPEG 75 does to the clean picture.

    Args:
        observer: the encoder.
        original: float32 (1, 3, H, W) sRGB in [0, 1], rounded to 8 bits.
        changed: like `original`.
        views: names of `VIEWS`.
        visible: (1, 1, H, W), 0 where a picture is wholly transparent, else 1: no noise there.

    Returns:
        The record. `times_noise` is None where noise has no effect: nothing was changed, or a view
        takes so little noise away (JPEG on a flat picture), whatever the effect beside it is.
    """
    digests = map(observer.cache.digest, (original, changed, visible))
    key = (observer.encoder.name, *digests, views)
    record = observer.cache.remember(
        "effect", key, lambda: _measured(observer, original, changed, views, visible)
    )
    return {"encoder": observer.encoder.name, **record}


def incremental_effect(
    observer: Observer,
    original: Array,
    before: Array,
    made: Array,
    *,
    visible: Array = EVERYWHERE,
) -> Json:
    """Return the effect of a stage alone, which made `made` from the layer `before`.

    `effect_before`: the effect of `before`. `own_effect`: norm(E(made) - E(before)) /
    norm(E(original)). `own_times_noise` and `own_times_shaped_noise`: that in times of random signs
    and of shaped noise of the same mean square error on `before`; None where they have no effect.
    `effective`: it beats shaped noise, and the effect did not fall below `effect_before` by more
    than random signs move the latent. `visible` is as in `effect_record`.
    """
    noisy = random_signs(before, like=made, visible=visible)
    own = observer.displacement(original, made, since=before)
    noise = observer.displacement(original, noisy, since=before)
    gained = observer.displacement(original, before)
    shaped = observer.displacement(original, _shaped(before, made, visible), since=before)
    ratio = ratio_to_noise(own, shaped)
    kept = observer.displacement(original, made) >= gained - noise
    return {
        "effect_before": round(gained, 4),
        "own_effect": round(own, 4),
        "own_times_noise": ratio_to_noise(own, noise),
        "own_times_shaped_noise": ratio,
        "effective": kept and beats_noise(ratio),
    }


def beats_noise(ratio: float | None) -> bool:
    """Return whether an effect is at least EFFECTIVE_RATIO times the noise's; None is not."""
    return ratio is not None and ratio >= EFFECTIVE_RATIO


def protects(record: Json, unattacked: Json | None) -> bool:
    """Return whether a layer beats shaped noise on every evaluated encoder."""
    records = [record, unattacked] if unattacked and "effect" in unattacked else [record]
    return all(beats_noise(each["times_shaped_noise"]["plain"]) for each in records)


def ratio_to_noise(effect: float, noise: float) -> float | None:
    """Return an effect relative to the noise's; None if noise has none."""
    return round(effect / noise, 3) if noise else None


def random_signs(original: Array, *, like: Array, visible: Array = EVERYWHERE) -> Array:
    """Return `original` changed by random signs with the mean square error of `like`.

    Both errors are those where `visible`, which broadcasts to the pictures, is 1; where it is 0
    nothing is changed. Not rounded to 8 bits, which would change the error of so small a change.
    """
    target = root_mean_square((like - original) * visible)
    if not target:
        return original
    drawn = np.random.default_rng(_NOISE_SEED).integers(0, 2, original.shape, np.int8)
    signs = (2 * drawn - 1).astype(np.float32) * visible
    size = target
    for _ in range(_NOISE_ROUNDS):  # clipping at black and white takes some of the change away
        noisy = np.clip(original + np.float32(size) * signs, 0, 1)
        reached = root_mean_square(noisy - original)
        if abs(reached - target) <= 1e-3 * target:
            break
        size *= target / max(reached, 1e-6)
    return np.clip(original + np.float32(size) * signs, 0, 1)


def _measured(
    observer: Observer,
    original: Array,
    changed: Array,
    views: tuple[str, ...],
    visible: Array,
) -> Json:
    noisy = random_signs(original, like=changed, visible=visible)
    likewise = _shaped(original, changed, visible)
    effect, noise, shaped = {}, {}, {}
    for name in views:
        seen = [VIEWS[name](picture) for picture in (original, changed, noisy, likewise)]
        effect[name], noise[name], shaped[name] = (
            observer.displacement(seen[0], each) for each in seen[1:]
        )
    jpeg = observer.displacement(original, VIEWS["jpeg_75"](original))
    return {
        "effect": {name: round(effect[name], 4) for name in views},
        "noise_effect": {name: round(noise[name], 4) for name in views},
        "times_noise": {name: ratio_to_noise(effect[name], noise[name]) for name in views},
        "shaped_noise_effect": {name: round(shaped[name], 4) for name in views},
        "times_shaped_noise": {name: ratio_to_noise(effect[name], shaped[name]) for name in views},
        "clean_jpeg_75_effect": round(jpeg, 4),
    }


def _shaped(original: Array, changed: Array, visible: Array) -> Array:
    place = np.broadcast_to(visible[0, 0], original.shape[2:])
    return shaped_noise(original[0], changed[0], seed=_NOISE_SEED, visible=place)[None]


def norm(values: Array) -> float:
    """Return the Euclidean norm."""
    return float(np.sqrt(np.square(values).sum(dtype=np.float64)))


def root_mean_square(values: Array) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.square(values).mean(dtype=np.float64)))
