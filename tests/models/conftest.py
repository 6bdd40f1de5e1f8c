"""Weights and pictures for the encoders' tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from artscraper_runner.models.protocol import QuadraticObjective
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
def painting() -> np.ndarray:
    """A held-out painting, float32 (1, 3, 256, 256) sRGB in [0, 1]."""
    path = SHARED / "images" / "paintings" / "mona_lisa.jpg"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    picture = Image.open(path).convert("RGB").resize((256, 256), Image.Resampling.LANCZOS)
    return np.asarray(picture, np.float32).transpose(2, 0, 1)[None].copy() / 255


def by_torch(latent: torch.Tensor, objective: QuadraticObjective) -> torch.Tensor:
    """Return the value of a quadratic objective of a latent (1, D), differentiable."""
    way = latent - torch.from_numpy(objective.reference)
    return (way * (objective.spread * way + torch.from_numpy(objective.pull))).sum()


def random_objective(latent: np.ndarray) -> QuadraticObjective:
    """Return an objective of latents like the given one, (1, D)."""
    rng = np.random.default_rng(3)
    reference, pull = (rng.standard_normal(latent.shape).astype(np.float32) for _ in range(2))
    return QuadraticObjective(reference, 0.3, pull, offset=1.5)
