"""Several encoders as one: ``ensemble:taef2+bundled``.

The answer is one vector (N, D) per picture: every member's latents flattened, divided by their
typical norm and joined. So the relative displacement of the whole, norm(E(x') - E(x)) over
norm(E(x)), is the root mean square of its members' own, whatever their scale and size; an
engine that flattens latents before it compares them needs to know nothing about it.

A member's typical norm is the root mean square of its latents over fixed reference pictures
times the square root of their number. It is a constant, not the norm for the picture at hand,
which would make the answer blind to a change of the latents' length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from artscraper_runner.models import load_requested
from artscraper_runner.models.base import Encoder
from artscraper_runner.models.request import LoadRequest

SEPARATOR = "+"
REFERENCE_COUNT, REFERENCE_SIZE = 4, 128  # pictures, pixels


class Ensemble(Encoder):
    """Encoders that count equally; answers (N, D) float32 instead of (N, C, h, w).

    Attributes:
        latent_channels: the sum of the members'.
        stride: the least common multiple of the members', in pixels.
    """

    def __init__(self, members: Sequence[Encoder], *, name: str, request: LoadRequest) -> None:
        super().__init__(
            torch.nn.ModuleList(members),
            name=name,
            latent_channels=sum(member.latent_channels for member in members),
            stride=math.lcm(*(member.stride for member in members)),
            request=request,
        )
        self.members = tuple(members)
        pictures = reference_pictures().to(request.device)
        with torch.no_grad():
            sizes = [member(pictures).square().mean().sqrt().item() for member in members]
        self.typical_sizes = tuple(sizes)  # root mean square of a latent value

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Answer joined latents (N, D) of pictures (N, 3, H, W); D depends on H and W."""
        parts = []
        for member, size in zip(self.members, self.typical_sizes, strict=True):
            flat = member(pictures).flatten(1)
            parts.append(flat / (size * math.sqrt(flat.shape[1])))
        return torch.cat(parts, dim=1)


def reference_pictures() -> torch.Tensor:
    """Answer fixed soft coloured noise, float32 (4, 3, 128, 128) sRGB in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.zeros(REFERENCE_COUNT, 3, REFERENCE_SIZE, REFERENCE_SIZE)
    for cells in (4, 8, 16, 32, 64):  # equal power in each octave, as in natural pictures
        octave = torch.randn(REFERENCE_COUNT, 3, cells, cells, generator=generator)
        pictures += torch.nn.functional.interpolate(
            octave, size=REFERENCE_SIZE, mode="bilinear", align_corners=False
        )
    return torch.sigmoid(pictures)


def load(argument: str, request: LoadRequest) -> Encoder:
    """Answer the ensemble of the encoders that are named in ``a+b``.

    Which names may be joined, `check_encoder_name` has looked at.

    Raises:
        RunnerError: whatever loading a member raises.
    """
    members = [load_requested(name, request) for name in argument.split(SEPARATOR)]
    return Ensemble(members, name=f"ensemble:{argument}", request=request)
