"""Views of a picture, against direct computations, and their gradients."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from artscraper_runner.attacks.transforms import colour_halved, scaled, through_jpeg


def picture(height: int = 16, width: int = 24) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))


def test_half_size_is_the_mean_of_each_square():
    small = scaled(picture(), 0.5)
    assert small.shape == (1, 3, 8, 12)
    assert torch.allclose(small[0, :, 0, 0], picture()[0, :, :2, :2].mean((1, 2)))


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 9), (17, 31)])
def test_every_size_has_a_half(size):
    small = scaled(picture(*size), 0.5)
    assert small.isfinite().all()
    assert small.shape[-2] <= size[0]
    assert small.shape[-1] <= size[1]


def test_full_size_is_the_picture_itself():
    given = picture()
    assert scaled(given, 1.0) is given


def test_jpeg_is_pillows_and_its_gradient_the_identity():
    given = (picture() * 255).round() / 255
    file = io.BytesIO()
    pixels = (given[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", quality=75)
    expected = np.asarray(Image.open(file)).astype(np.float32) / 255
    given.requires_grad_(True)
    coded = through_jpeg(given, 75)
    assert np.allclose(coded[0].permute(1, 2, 0).detach().numpy(), expected, atol=1e-6)
    coded.sum().backward()
    assert torch.equal(given.grad, torch.ones_like(given))


@pytest.mark.parametrize("size", [(16, 24), (7, 9), (1, 1)])
def test_halved_colour_keeps_luma_and_grey(size):
    given = picture(*size)
    stored = colour_halved(given)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    assert torch.allclose((stored * weights).sum(1), (given * weights).sum(1), atol=1e-5)
    grey = given.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert torch.allclose(colour_halved(grey), grey, atol=1e-5)
