"""Several encoders as one: ``ensemble:taef2+bundled``.

The latent is one vector (N, D) per picture: every member's latents flattened, divided by their
typical norm and joined. So the relative displacement of the whole, norm(E(x') - E(x)) over
norm(E(x)), is the root mean square of its members' own, whatever their scale and size.

A member's typical norm is the root mean square of its latents over fixed reference pictures
times the square root of their number. It is a constant, not the norm for the picture at hand,
which would make the ensemble blind to a change of the latents' length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from artscraper_runner.models import load_untimed
from artscraper_runner.models.protocol import Array, Encoder, EncoderOptions, QuadraticObjective

SEPARATOR = "+"
REFERENCE_COUNT, REFERENCE_SIZE = 4, 128  # pictures, pixels


class Ensemble:
    """Encoders that count equally; see `protocol.Encoder`.

    Attributes:
        members: the encoders.
        stride: the least common multiple of the members', in pixels.
        typical_sizes: root mean square of a latent value, by member.
    """

    def __init__(self, members: Sequence[Encoder], *, name: str) -> None:
        self.name, self.members = name, tuple(members)
        self.stride = math.lcm(*(member.stride for member in members))
        pictures = reference_pictures()
        self._lengths: dict[tuple[int, ...], list[int]] = {}  # of latents, by size of the picture
        self.typical_sizes = tuple(
            float(np.sqrt(np.square(member.latents(pictures)).mean())) for member in members
        )

    def latents(self, pictures: Array) -> Array:
        """Return joined latents (N, D) of pictures (N, 3, H, W)."""
        parts = [member.latents(pictures) for member in self.members]
        lengths = [part.shape[1] for part in parts]
        self._lengths[pictures.shape[2:]] = lengths
        scales = self._scales(lengths)
        return np.concatenate([part / s for part, s in zip(parts, scales, strict=True)], axis=1)

    def value_and_gradient(
        self, picture: Array, objective: QuadraticObjective
    ) -> tuple[float, Array]:
        """Return the objective of a picture (1, 3, H, W) and its gradient: the members' sum."""
        value, gradient = objective.offset, np.zeros_like(picture)
        for member, part in zip(self.members, self._parts(picture, objective), strict=True):
            more, slope = member.value_and_gradient(picture, part)
            value, gradient = value + more, gradient + slope
        return value, gradient

    def _parts(self, picture: Array, objective: QuadraticObjective) -> list[QuadraticObjective]:
        """Split the objective into one of each member's own latents."""
        if picture.shape[2:] not in self._lengths:
            self.latents(picture)
        lengths = self._lengths[picture.shape[2:]]
        ends = np.cumsum(lengths)[:-1]
        references, pulls = (
            np.split(values, ends, axis=1) for values in (objective.reference, objective.pull)
        )
        return [
            QuadraticObjective(
                reference * np.float32(scale), objective.spread / scale**2, pull / np.float32(scale)
            )
            for reference, pull, scale in zip(references, pulls, self._scales(lengths), strict=True)
        ]

    def _scales(self, lengths: Sequence[int]) -> list[float]:
        pairs = zip(self.typical_sizes, lengths, strict=True)
        return [size * math.sqrt(length) for size, length in pairs]


def reference_pictures() -> Array:
    """Return fixed soft coloured noise, float32 (4, 3, 128, 128) sRGB in [0, 1]."""
    rng = np.random.default_rng(0)
    pictures = np.zeros((REFERENCE_COUNT, 3, REFERENCE_SIZE, REFERENCE_SIZE), np.float32)
    size = (REFERENCE_SIZE, REFERENCE_SIZE)
    for cells in (4, 8, 16, 32, 64):  # equal power in each octave, as in natural pictures
        octave = rng.standard_normal((REFERENCE_COUNT, 3, cells, cells)).astype(np.float32)
        for picture, planes in zip(pictures, octave, strict=True):
            for channel, plane in enumerate(planes):
                image = Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR)
                picture[channel] += np.asarray(image)
    return np.asarray(1 / (1 + np.exp(-pictures)), np.float32)


def load(argument: str, options: EncoderOptions) -> Ensemble:
    """Load the ensemble of the encoders in ``a+b``, which `require_encoder` has checked."""
    members = [load_untimed(name, options) for name in argument.split(SEPARATOR)]
    return Ensemble(members, name=f"ensemble:{argument}")
