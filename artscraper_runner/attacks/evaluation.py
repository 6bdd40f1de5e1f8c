"""What a change does to an encoder, beside what noise of the same size would do.

Effect = norm(E(x') - E(x)) / norm(E(x)): the relative displacement of the latent. It is always
given with that of random signs of the same mean square error, since any noise moves latents: a
change that does not clearly beat such noise protects nothing.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch.nn import functional

from artscraper_runner.attacks.transforms import scaled, through_jpeg
from artscraper_runner.errors import NoNumbers
from artscraper_runner.models.base import Encoder
from artscraper_runner.types import Json

EFFECTIVE_RATIO = 1.3  # times the effect of noise
_JPEG_QUALITY = 75
_NOISE_SEED = 5
_KEPT_LATENTS = 24
_SHORTEST_WAY = 0.01  # to a target, as a share of the latent
EVERYWHERE = torch.ones(())  # a `visible` part that broadcasts to any picture
View = Callable[[torch.Tensor], torch.Tensor]


def halved_and_back(pictures: torch.Tensor) -> torch.Tensor:
    """Returns pictures after halving their size by area and enlarging them bicubically."""
    size = pictures.shape[-2:]
    back = functional.interpolate(scaled(pictures, 0.5), size=size, mode="bicubic")
    return back.clamp(0, 1)


VIEWS: dict[str, View] = {
    "plain": lambda pictures: pictures,
    "jpeg_75": lambda pictures: through_jpeg(pictures, _JPEG_QUALITY),
    "halved": halved_and_back,
}


class Observer:
    """An encoder that remembers the latents of the pictures it saw last.

    A job looks at the same few pictures again and again: the original, the target, each layer.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._kept: OrderedDict[bytes, torch.Tensor] = OrderedDict()
        self._last_record: tuple[object, Json] = (None, {})

    @torch.no_grad()
    def latent(self, picture: torch.Tensor) -> torch.Tensor:
        """Returns the flat latent (1, D) of float32 (1, 3, H, W) sRGB in [0, 1].

        Raises:
            NoNumbers: the encoder is broken.
        """
        key = _digest(picture)
        if key not in self._kept:
            latent = self.encoder(picture).flatten(1)
            if not latent.isfinite().all():
                raise NoNumbers(self.encoder.name)
            self._kept[key] = latent
            if len(self._kept) > _KEPT_LATENTS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def record(
        self,
        original: torch.Tensor,
        changed: torch.Tensor,
        views: tuple[str, ...],
        visible: torch.Tensor,
    ) -> Json:
        """Returns `effect_record`; the last one is remembered, for each stage's final figures."""
        key = (_digest(original), _digest(changed), views, _digest(visible))
        if self._last_record[0] != key:
            self._last_record = (key, _measured(self, original, changed, views, visible))
        return self._last_record[1]

    def displacement(
        self, original: torch.Tensor, changed: torch.Tensor, *, since: torch.Tensor | None = None
    ) -> float:
        """Returns the effect, from 0; 0 too where the original's latent has no length.

        `since` is the picture that the latent's way is counted from, None = the original.
        """
        before = self.latent(original if since is None else since)
        size = self.latent(original).norm().item()
        return (self.latent(changed) - before).norm().item() / size if size else 0.0

    def progress(
        self, original: torch.Tensor, changed: torch.Tensor, target: torch.Tensor
    ) -> float | None:
        """Returns the share of the way to the target's latent that was made along that way.

        The projection of the displacement on the line from the original's latent to the target's:
        0 = none, 1 = level with the target, below 0 = the other way. None where that way is at
        most 1 % of the original's latent: the original is the target already, or almost.
        """
        before = self.latent(original)
        way = self.latent(target) - before
        length = float(way.norm())
        if length <= _SHORTEST_WAY * float(before.norm()):
            return None
        return float(((self.latent(changed) - before) * way).sum()) / length**2


def effect_record(
    observer: Observer,
    original: torch.Tensor,
    changed: torch.Tensor,
    *,
    views: tuple[str, ...] = tuple(VIEWS),
    visible: torch.Tensor = EVERYWHERE,
) -> Json:
    """Returns `effect`, `noise_effect` and `times_noise` by view, and the `encoder`'s name.

    Pictures are float32 (1, 3, H, W) sRGB in [0, 1], rounded to 8 bits. `visible` (1, 1, H, W) is
    0 where a picture is wholly transparent, else 1: noise stays there too. `times_noise` is None
    where noise has no effect: nothing was changed, or a view takes so little noise away (JPEG on a
    flat picture), whatever the effect beside it is.
    """
    record = observer.record(original, changed, views, visible)
    return {"encoder": observer.encoder.name, **record}


def own_record(
    observer: Observer,
    original: torch.Tensor,
    before: torch.Tensor,
    made: torch.Tensor,
    *,
    visible: torch.Tensor = EVERYWHERE,
) -> Json:
    """Returns what a stage added by itself when it made `made` out of the layer `before`.

    `effect_before`: the effect of `before`. `own_effect`: norm(E(made) - E(before)) /
    norm(E(original)). `own_times_noise`: that in times of random signs of the same mean square
    error on `before`; None where they have no effect. `effective`: it beats noise, and the effect
    did not fall below `effect_before` by more than such signs move the latent. `visible` is as in
    `effect_record`.
    """
    noisy = random_signs(before, like=made, visible=visible)
    own = observer.displacement(original, made, since=before)
    noise = observer.displacement(original, noisy, since=before)
    gained = observer.displacement(original, before)
    times_noise = _ratio(own, noise)
    kept = observer.displacement(original, made) >= gained - noise
    return {
        "effect_before": round(gained, 4),
        "own_effect": round(own, 4),
        "own_times_noise": times_noise,
        "effective": kept and beats_noise(times_noise),
    }


def beats_noise(times_noise: float | None) -> bool:
    """Returns whether an effect is EFFECTIVE_RATIO times that of noise; None is not."""
    return times_noise is not None and times_noise >= EFFECTIVE_RATIO


def _measured(
    observer: Observer,
    original: torch.Tensor,
    changed: torch.Tensor,
    views: tuple[str, ...],
    visible: torch.Tensor,
) -> Json:
    noisy = random_signs(original, like=changed, visible=visible)
    effect, noise = {}, {}
    for name in views:
        view = VIEWS[name]
        effect[name] = observer.displacement(view(original), view(changed))
        noise[name] = observer.displacement(view(original), view(noisy))
    ratios = {name: _ratio(effect[name], noise[name]) for name in views}
    return {
        "effect": _rounded(effect),
        "noise_effect": _rounded(noise),
        "times_noise": ratios,
    }


def random_signs(
    original: torch.Tensor,
    *,
    like: torch.Tensor,
    visible: torch.Tensor = EVERYWHERE,
    rounds: int = 8,
) -> torch.Tensor:
    """Returns `original` changed by random signs with the mean square error of `like`.

    Both errors are those where `visible`, which broadcasts to the pictures, is 1; where it is 0
    nothing is changed. Not rounded to 8 bits, which would change the error of so small a change.
    """
    generator = torch.Generator().manual_seed(_NOISE_SEED)
    signs = torch.randn(original.shape, generator=generator).sign().to(original) * visible
    wanted = ((like - original) * visible).square().mean().sqrt()
    if not wanted:
        return original
    size = wanted.clone()
    for _ in range(rounds):  # clipping at black and white takes some of the change away
        reached = ((original + size * signs).clamp(0, 1) - original).square().mean().sqrt()
        size = size * wanted / reached.clamp_min(1e-6)
    return (original + size * signs).clamp(0, 1)


def _digest(picture: torch.Tensor) -> bytes:
    content = picture.detach().cpu().contiguous().numpy()
    digest = hashlib.sha256(repr(content.shape).encode())
    digest.update(content.data)
    return digest.digest()


def _ratio(effect: float, noise: float) -> float | None:
    return round(effect / noise, 3) if noise else None


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
