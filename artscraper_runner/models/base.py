"""The Encoder that every registry row answers: any size in, float32 latents out."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn
from torch.nn import functional

from artscraper_runner.models.request import LoadRequest

N = TypeVar("N", bound=nn.Module)
# Latent cells. torch 2.13's bfloat16 convolution on CPUs reads memory that nobody wrote where a
# feature map is very narrow: seen at a single cell, never at two.
NARROWEST_IN_BFLOAT16 = 4


class Encoder(nn.Module):
    """A frozen map from pictures to latents, differentiable in the pictures.

    Called with float32 (N, 3, H, W) sRGB in [0, 1] of any size from 1x1, it answers the mean
    of the latent distribution as float32. A picture whose sides are no multiples of ``stride``
    is continued at its right and bottom by reflection (by its last row and column where it is
    too small to reflect). Inside it computes channels-last, and in bfloat16 when so asked and
    no side is shorter than NARROWEST_IN_BFLOAT16 latent cells.

    Attributes:
        name: the name it was loaded by.
        latent_channels: C of the latents (N, C, h, w).
        stride: pixels per latent cell in each direction; h = ceil(H / stride).
        is_bfloat16: whether it computes in bfloat16; answers are float32 either way.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        latent_channels: int,
        stride: int,
        request: LoadRequest,
    ) -> None:
        super().__init__()
        device = torch.device(request.device)
        self.name, self.latent_channels, self.stride = name, latent_channels, stride
        wanted = request.bfloat16
        self.is_bfloat16 = is_bfloat16_native(device) if wanted is None else wanted
        self.network = placed(network, device)
        self.eval().requires_grad_(False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Answer latents (N, C, h, w) of pictures (N, 3, H, W).

        Raises:
            ValueError: the pictures have another shape or are not floating point.
        """
        check_pictures(pictures)
        padded = padded_to_multiple(pictures, self.stride)
        laid_out = padded.contiguous(memory_format=torch.channels_last)
        is_narrow = min(padded.shape[-2:]) < NARROWEST_IN_BFLOAT16 * self.stride
        enabled = self.is_bfloat16 and not is_narrow
        with torch.autocast(pictures.device.type, dtype=torch.bfloat16, enabled=enabled):
            latents: torch.Tensor = self.network(laid_out)
        return latents.float()


def check_pictures(pictures: torch.Tensor) -> None:
    """Raise ValueError unless pictures are floating point (N, 3, H, W) with H and W from 1."""
    shape = tuple(pictures.shape)
    if len(shape) != 4 or shape[1] != 3 or 0 in shape[2:] or not pictures.is_floating_point():
        raise ValueError(
            f"expected floating point pictures (N, 3, H, W), got {pictures.dtype} {shape}"
        )


def padded_to_multiple(pictures: torch.Tensor, stride: int) -> torch.Tensor:
    """Continue pictures (N, C, H, W) to the right and below to multiples of ``stride`` pixels."""
    height, width = pictures.shape[-2:]
    missing = (-width % stride, -height % stride)
    if missing == (0, 0):
        return pictures
    mode = "reflect" if missing[0] < width and missing[1] < height else "replicate"
    return functional.pad(pictures, (0, missing[0], 0, missing[1]), mode=mode)


def placed(network: N, device: torch.device) -> N:
    """Answer a network moved to a device, its weights laid out channels-last."""
    moved: N = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def is_bfloat16_native(device: torch.device) -> bool:
    """Tell whether a device multiplies bfloat16 faster than float32."""
    if device.type == "cpu":
        capable = torch.cpu.get_capabilities()
        return bool(capable.get("avx512_bf16") or capable.get("amx_bf16"))
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
