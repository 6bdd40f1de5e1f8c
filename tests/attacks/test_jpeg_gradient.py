"""The gradient of a picture that is saved as JPEG after it was changed."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.attacks.jpeg_gradient import jpeg_gradient
from artscraper_runner.attacks.transforms import to_picture, to_pixels

QUALITY = 75


def picture(height: int, width: int) -> np.ndarray:
    """Return soft noise float32 (1, 3, height, width) in [0, 1]."""
    rng = np.random.default_rng(3)
    small = Image.fromarray(rng.integers(60, 190, (height // 4 + 1, width // 4 + 1, 3), np.uint8))
    return to_picture(np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)))


def decoded(changed: np.ndarray) -> np.ndarray:
    """Return a picture as its JPEG shows it."""
    file = io.BytesIO()
    Image.fromarray(to_pixels(changed)).save(file, "JPEG", quality=QUALITY)
    return to_picture(np.asarray(Image.open(file).convert("RGB")))


@pytest.mark.parametrize("size", [(64, 96), (37, 21), (3, 5), (1, 1)])
def test_jpeg_gradient_keeps_shape_and_is_linear(size: tuple[int, int]) -> None:
    clean = picture(*size)
    first, second = np.random.default_rng(0).standard_normal((2, 1, 3, *size)).astype(np.float32)
    parts = [jpeg_gradient(each, clean, quality=QUALITY) for each in (first, second)]
    whole = jpeg_gradient(first + 2 * second, clean, quality=QUALITY)
    assert whole.shape == first.shape
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole, parts[0] + 2 * parts[1], atol=2e-4)


def test_jpeg_gradient_of_flat_grey_is_zero_where_rounding_loses_every_change() -> None:
    flat = np.full((1, 3, 16, 16), 128 / 255, np.float32)
    gradient = np.random.default_rng(0).standard_normal(flat.shape).astype(np.float32)
    assert np.abs(jpeg_gradient(gradient, flat, quality=QUALITY)).max() < 1e-4


def test_step_along_jpeg_gradient_moves_the_decoded_picture_further() -> None:
    clean = picture(128, 128)
    gradient = np.random.default_rng(1).standard_normal(clean.shape).astype(np.float32)
    gains = []
    for slope in (gradient, jpeg_gradient(gradient, clean, quality=QUALITY)):
        step = slope * np.float32(2 / 255 / np.sqrt(np.square(slope).mean()))
        moved = decoded(np.clip(clean + step, 0, 1)) - decoded(clean)
        gains.append(float((gradient * moved).sum(dtype=np.float64)))
    assert gains[1] > 1.5 * gains[0] > 0, gains
