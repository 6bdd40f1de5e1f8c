"""Differentiable changes that an attack is averaged over: another size, halved colour, JPEG.

Pictures are float32 (N, 3, H, W) sRGB in [0, 1].
"""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

_MIN_SIDE = 8  # px; no view is smaller
RGB_TO_YCC = (  # JFIF 1.02
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)


def scaled(pictures: torch.Tensor, scale: float) -> torch.Tensor:
    """Returns pictures at `scale` of their size by area averaging; 1 returns them as they are."""
    if scale == 1.0:
        return pictures
    height, width = pictures.shape[-2:]
    if scale == 0.5 and height % 2 == 0 and width % 2 == 0 and min(height, width) >= 2 * _MIN_SIDE:
        return functional.avg_pool2d(pictures, 2)  # the same, several times as fast
    size = tuple(max(min(side, _MIN_SIDE), round(side * scale)) for side in (height, width))
    if size == (height, width):
        return pictures
    return functional.interpolate(pictures, size=size, mode="area")


def colour_halved(pictures: torch.Tensor) -> torch.Tensor:
    """Returns pictures with chroma at half the resolution, as JPEG and video store it.

    A linear map, so its gradient tells exactly which colour changes would be averaged away.
    """
    to_ycc = torch.tensor(RGB_TO_YCC, device=pictures.device, dtype=pictures.dtype)
    planes = torch.einsum("ij,njhw->nihw", to_ycc, pictures)
    small = functional.avg_pool2d(planes[:, 1:], 2, ceil_mode=True, count_include_pad=False)
    coarse = functional.interpolate(small, size=pictures.shape[-2:], mode="nearest")
    stored = torch.cat([planes[:, :1], coarse], dim=1)
    return torch.einsum("ij,njhw->nihw", torch.linalg.inv(to_ycc), stored)


def through_jpeg(pictures: torch.Tensor, quality: int) -> torch.Tensor:
    """Returns pictures as Pillow's JPEG of `quality` shows them; the gradient passes unchanged.

    The straight-through estimate of Bengio et al. 2013 (arXiv 1308.3432) on a real encoder.
    """
    with torch.no_grad():
        coded = torch.stack([_coded(picture, quality) for picture in pictures])
        change = coded.to(pictures) - pictures
    return pictures + change


def _coded(picture: torch.Tensor, quality: int) -> torch.Tensor:
    pixels = picture.detach().clamp(0, 1).mul(255).round().to(torch.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy()).save(file, "JPEG", quality=quality)
    decoded = np.array(Image.open(file).convert("RGB"))
    return torch.from_numpy(decoded).permute(2, 0, 1).float() / 255
