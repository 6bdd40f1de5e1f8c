"""The frame around every encoder that torch computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from artscraper_runner.models.protocol import EncoderOptions
from artscraper_runner.models.torch_encoder import TorchEncoder, is_bfloat16_native
from tests.models.conftest import by_torch, random_objective


def toy(**options: bool) -> TorchEncoder:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 8, stride=8), nn.Tanh())
    return TorchEncoder(
        network, name="toy", latent_channels=4, stride=8, options=EncoderOptions(**options)
    )


@pytest.mark.parametrize("size", [(16, 24), (13, 21), (1, 1)])
def test_gradient_equals_torch(size: tuple[int, int]) -> None:
    encoder = toy(bfloat16=False)
    picture = np.random.default_rng(0).random((1, 3, *size), np.float32)
    objective = random_objective(encoder.latents(picture))
    value, gradient = encoder.value_and_gradient(picture, objective)
    assert value == pytest.approx(objective.value(encoder.latents(picture)), rel=1e-5)
    step = np.float32(0.01) * gradient / np.abs(gradient).max()
    up, down = (encoder.value_and_gradient(picture + s * step, objective)[0] for s in (1, -1))
    assert (up - down) / 2 == pytest.approx(float((gradient * step).sum()), rel=0.01)
    if size == (16, 24):
        leaf = torch.from_numpy(picture).requires_grad_(True)
        score = by_torch(encoder.network(leaf).flatten(1), objective)
        (expected,) = torch.autograd.grad(score, leaf)
        assert np.allclose(gradient, expected.numpy(), atol=1e-5)


def test_bfloat16_is_optional() -> None:
    for requested in (True, False):
        assert toy(bfloat16=requested).is_bfloat16 is requested
    assert toy().is_bfloat16 is is_bfloat16_native(torch.device("cpu"))


def test_out_of_memory_is_a_memory_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    encoder = toy()
    monkeypatch.setattr(encoder, "_forward", fails)
    picture = np.ones((1, 3, 8, 8), np.float32)
    with pytest.raises(MemoryError):
        encoder.latents(picture)
    with pytest.raises(MemoryError):
        encoder.value_and_gradient(picture, random_objective(np.ones((1, 4), np.float32)))
