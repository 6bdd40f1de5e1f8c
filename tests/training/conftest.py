"""Pictures and a teacher for the training's tests, all made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from artscraper_runner.models.taesd import TaesdNetwork
from training import procedural


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of two drawn pictures."""
    folder, rng = tmp_path / "images", np.random.default_rng(0)
    folder.mkdir()
    for name in ("one.png", "two.jpg"):
        procedural.picture(rng, size=300).save(folder / name)
    return folder


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """A file of untrained TAEF2 weights."""
    torch.manual_seed(0)
    network = TaesdNetwork(latent_channels=32, pooled=True)
    torch.save(network.state_dict(), tmp_path / "taef2_encoder.pth")
    return tmp_path / "taef2_encoder.pth"
