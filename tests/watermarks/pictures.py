"""Pictures that tests make themselves, and the changes that they undergo."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

Pixels = npt.NDArray[np.uint8]
IMAGES = Path(__file__).resolve().parents[2].parent / "shared" / "images"


def painting(height: int, width: int, *, seed: int = 0) -> Pixels:
    """Return brush-like noise of many sizes over smooth colour fields, uint8 (H, W, 3)."""
    random = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 128.0)
    for size in (256, 64, 16, 4):
        cells = random.normal(0, 6 * size**0.3, (height // size + 2, width // size + 2, 3))
        for channel in range(3):
            layer = Image.fromarray(cells[:, :, channel].astype(np.float32))
            picture[:, :, channel] += np.asarray(layer.resize((width, height), 3))
    return np.clip(picture, 0, 255).astype(np.uint8)


def shared_picture(name: str) -> Pixels:
    """Return a picture of the shared samples; skips the test where they are not at hand."""
    path = IMAGES / name
    if not path.is_file():
        pytest.skip(f"needs the sample picture shared/images/{name} beside the repository")
    return np.asarray(Image.open(path).convert("RGB"))


def saved(pixels: Pixels, kind: str, quality: int) -> Pixels:
    """Return pixels as a lossy format keeps them."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def resized(pixels: Pixels, scale: float) -> Pixels:
    """Return pixels at another size, both sides times `scale`."""
    height, width, _ = pixels.shape
    size = (round(width * scale), round(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def cropped(pixels: Pixels, share: float) -> Pixels:
    """Return the middle of pixels, both sides shorter by `share`."""
    height, width, _ = pixels.shape
    top, left = int(height * share / 2), int(width * share / 2)
    return np.ascontiguousarray(pixels[top : height - top, left : width - left])


def rotated(pixels: Pixels, degrees: float) -> Pixels:
    """Return pixels turned on their own canvas, black in the corners."""
    return np.asarray(Image.fromarray(pixels).rotate(degrees, Image.Resampling.BICUBIC))


def psnr(before: Pixels, after: Pixels) -> float:
    """Return the peak signal-to-noise ratio over all channels in dB."""
    error = float(np.square(before.astype(np.float64) - after).mean())
    return float(10 * np.log10(255**2 / error))
