"""Views of a picture, against direct computations, and their adjoints."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from artscraper_runner.attacks.transforms import (
    RGB_TO_YCC,
    halved_colour,
    identity,
    scaled,
    through_jpeg,
)

SIZES = [(16, 24), (17, 31), (7, 9), (1, 40), (1, 1)]


def picture(height: int = 16, width: int = 24, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 3, height, width), np.float32)


def area(pictures: torch.Tensor) -> torch.Tensor:
    size = [max(min(side, 8), round(side * 0.5)) for side in pictures.shape[2:]]
    return functional.interpolate(pictures, size=size, mode="area")


def coarse_colour(pictures: torch.Tensor) -> torch.Tensor:
    to_ycc = torch.tensor(RGB_TO_YCC, dtype=pictures.dtype)
    planes = torch.einsum("ij,njhw->nihw", to_ycc, pictures)
    small = functional.avg_pool2d(planes[:, 1:], 2, ceil_mode=True, count_include_pad=False)
    coarse = functional.interpolate(small, scale_factor=2, mode="nearest")
    coarse = coarse[..., : pictures.shape[2], : pictures.shape[3]]
    stored = torch.cat([planes[:, :1], coarse], dim=1)
    return torch.einsum("ij,njhw->nihw", torch.linalg.inv(to_ycc), stored)


REFERENCES = {"half": area, "colour": coarse_colour}


def view(name: str, size: tuple[int, int]):
    return scaled(size, 0.5) if name == "half" else halved_colour()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", REFERENCES)
def test_view_and_adjoint_agree_with_torch(name, size):
    leaf = torch.from_numpy(picture(*size)).requires_grad_(True)
    expected = REFERENCES[name](leaf)
    seen = view(name, size).forward(picture(*size))
    assert np.allclose(seen, expected.detach().numpy(), atol=1e-6)
    slope = picture(*seen.shape[2:], seed=2)
    (gradient,) = torch.autograd.grad((expected * torch.from_numpy(slope)).sum(), leaf)
    assert np.allclose(view(name, size).adjoint(slope), gradient.numpy(), atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", REFERENCES)
def test_adjoint_agrees_with_finite_differences(name, size):
    """Both views are linear, so any step will do."""
    seen, step = view(name, size), picture(*size, seed=3) - np.float32(0.5)
    moved = seen.forward(picture(*size) + step) - seen.forward(picture(*size))
    slope = picture(*moved.shape[2:], seed=2)
    assert (moved * slope).sum() == pytest.approx(
        float((seen.adjoint(slope) * step).sum()), rel=1e-3, abs=1e-4
    )


def test_half_size_averages_each_square():
    small = scaled((16, 24), 0.5).forward(picture())
    assert small.shape == (1, 3, 8, 12)
    assert np.allclose(small[0, :, 0, 0], picture()[0, :, :2, :2].mean((1, 2)))


def test_full_size_is_the_identity():
    original = picture()
    assert scaled((16, 24), 1.0).forward(original) is original


def test_jpeg_equals_pillow_and_its_gradient_is_the_identity():
    levels = np.rint(picture() * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels[0].transpose(1, 2, 0)).save(file, "JPEG", quality=75)
    expected = np.asarray(Image.open(file)).astype(np.float32) / 255
    jpeg = through_jpeg(75)
    coded = jpeg.forward(levels / np.float32(255))
    assert np.allclose(coded[0].transpose(1, 2, 0), expected, atol=1e-6)
    assert np.array_equal(jpeg.adjoint(picture()), picture())


@pytest.mark.parametrize("size", SIZES)
def test_chroma_subsampling_keeps_luma_and_grey(size):
    original = picture(*size)
    stored = halved_colour().forward(original)
    weights = np.array([0.299, 0.587, 0.114], np.float32).reshape(1, 3, 1, 1)
    assert np.allclose((stored * weights).sum(1), (original * weights).sum(1), atol=1e-5)
    grey = np.repeat(original.mean(1, keepdims=True), 3, axis=1)
    assert np.allclose(halved_colour().forward(grey), grey, atol=1e-5)


def test_composed_views_have_reversed_adjoints():
    both = halved_colour().then(scaled((16, 24), 0.5))
    apart = scaled((16, 24), 0.5).forward(halved_colour().forward(picture()))
    assert np.array_equal(both.forward(picture()), apart)
    slope = picture(8, 12)
    assert np.array_equal(
        both.adjoint(slope), halved_colour().adjoint(scaled((16, 24), 0.5).adjoint(slope))
    )
    assert np.array_equal(identity().then(both).forward(picture()), apart)
