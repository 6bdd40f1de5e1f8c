"""The layout of pictures that every watermark here takes: uint8 (H, W, 3), sRGB."""

import numpy as np
import numpy.typing as npt

from artscraper_runner.errors import UnsupportedPixels

Pixels = npt.NDArray[np.uint8]


def check_layout(pixels: Pixels) -> None:
    """Raises `UnsupportedPixels` for anything but uint8 (H, W, 3)."""
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise UnsupportedPixels(
            shape=pixels.shape, dtype=str(pixels.dtype), expected="uint8 pixels of shape (H, W, 3)"
        )
