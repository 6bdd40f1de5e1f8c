"""Pictures are continued to whole cells, and gradients folded back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from artscraper_runner.models.padding import pad_adjoint, pad_to_multiple


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, height, width), np.float32)


def test_padding_reflects_to_the_right_and_below() -> None:
    row = np.tile(np.arange(5.0, dtype=np.float32), (1, 1, 5, 1))
    padded = pad_to_multiple(row, 8)
    assert padded.shape == (1, 1, 8, 8)
    assert padded[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 3, 2, 1]


def test_padding_repeats_the_edge_of_tiny_pictures() -> None:
    padded = pad_to_multiple(np.full((1, 3, 1, 2), 0.25, np.float32), 8)
    assert padded.shape == (1, 3, 8, 8)
    assert (padded == 0.25).all()


def test_fitting_picture_is_not_padded() -> None:
    original = picture(16, 8)
    assert pad_to_multiple(original, 8) is original
    assert pad_adjoint(original, (16, 8), 8) is original


@pytest.mark.parametrize("size", [(13, 10), (16, 9), (1, 1), (3, 20), (7, 8)])
def test_padding_and_its_adjoint_agree_with_torch(size) -> None:
    leaf = torch.from_numpy(picture(*size)).requires_grad_(True)
    missing = (0, -size[1] % 8, 0, -size[0] % 8)
    mode = "reflect" if missing[1] < size[1] and missing[3] < size[0] else "replicate"
    expected = functional.pad(leaf, missing, mode=mode)
    assert np.array_equal(pad_to_multiple(picture(*size), 8), expected.detach().numpy())
    slope = picture(*expected.shape[2:])
    (gradient,) = torch.autograd.grad((expected * torch.from_numpy(slope)).sum(), leaf)
    assert np.allclose(pad_adjoint(slope, size, 8), gradient.numpy(), atol=1e-5)
