"""What happens to pictures on their way to a model: another size, JPEG.

Pictures are float32 (N, 3, H, W) sRGB in [0, 1].
"""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

_MIN_SIDE = 8  # px; no view is smaller


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


@torch.no_grad()
def through_jpeg(pictures: torch.Tensor, quality: int) -> torch.Tensor:
    """Returns pictures as Pillow's JPEG of `quality` shows them; has no gradient."""
    return torch.stack([_coded(picture, quality) for picture in pictures]).to(pictures)


def _coded(picture: torch.Tensor, quality: int) -> torch.Tensor:
    pixels = picture.detach().clamp(0, 1).mul(255).round().to(torch.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy()).save(file, "JPEG", quality=quality)
    decoded = np.array(Image.open(file).convert("RGB"))
    return torch.from_numpy(decoded).permute(2, 0, 1).float() / 255
