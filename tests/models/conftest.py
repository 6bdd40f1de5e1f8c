"""Weights and pictures for the encoders' tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from artscraper_runner.models.taesd import SHA256, TaesdNetwork

REPOSITORY = Path(__file__).parents[2]
SHARED = next(  # sample pictures and weights lie beside the repository, or further up
    (folder / "shared" for folder in REPOSITORY.parents if (folder / "shared").is_dir()),
    REPOSITORY.parent / "shared",
)
LATENT_CHANNELS = {"taesd": 4, "taesdxl": 4, "taesd3": 16, "taef1": 16, "taef2": 32}


@pytest.fixture(scope="session")
def random_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with untrained weights of every member of the TAESD family."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    for name in SHA256:
        network = TaesdNetwork(latent_channels=LATENT_CHANNELS[name], pooled=name == "taef2")
        torch.save(network.state_dict(), folder / f"{name}_encoder.pth")
    return folder


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """The folder of published weights beside the repository."""
    folder = SHARED / "models"
    if not (folder / "taef2" / "taef2_encoder.pth").is_file():
        pytest.skip(f"needs taef2/taef2_encoder.pth in {folder}")
    return folder


@pytest.fixture(scope="session")
def painting() -> torch.Tensor:
    """A held-out painting, float32 (1, 3, 256, 256) sRGB in [0, 1]."""
    path = SHARED / "images" / "paintings" / "mona_lisa.jpg"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    picture = Image.open(path).convert("RGB").resize((256, 256), Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)
    return pixels.permute(2, 0, 1)[None].contiguous()


@pytest.fixture
def gradients() -> Callable[..., set[bytes]]:
    """Returns the different gradients of a network that so many passes over one input give."""

    def run(network: nn.Module, given: torch.Tensor, *, passes: int) -> set[bytes]:
        found = set()
        for number in range(passes):
            _elsewhere = torch.empty(37 * number + 5)  # memory does not lie where it lay before
            leaf = given.clone().requires_grad_()
            network(leaf).square().sum().backward()
            found.add(leaf.grad.numpy().tobytes())
        return found

    return run
