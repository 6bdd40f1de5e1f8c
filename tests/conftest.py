"""Pictures and weights that several tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

SHARED = Path(__file__).resolve().parents[2] / "shared"  # lies beside the repository


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The folder of published weights beside the repository."""
    folder = SHARED / "models"
    if not (folder / "taef2" / "taef2_encoder.pth").is_file():
        pytest.skip(f"needs taef2/taef2_encoder.pth in {folder}")
    return folder


@pytest.fixture(scope="session")
def kodak() -> NDArray[np.uint8]:
    """A held-out photograph, uint8 (128, 192, 3) sRGB."""
    path = SHARED / "images" / "photos" / "kodak_05.png"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    small = Image.open(path).convert("RGB").resize((192, 128), Image.Resampling.LANCZOS)
    return np.array(small)


@pytest.fixture(scope="session")
def textured() -> NDArray[np.uint8]:
    """Drawn texture beside a flat sky, uint8 (96, 144, 3) sRGB."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[0:96, 0:144]
    waves = 128 + 60 * np.sin(rows / 5) * np.cos(columns / 7)
    picture = np.repeat(waves[..., None], 3, axis=2) + rng.normal(0, 12, (96, 144, 3))
    picture[:48, :72] = (150, 180, 220)
    return np.clip(picture, 0, 255).round().astype(np.uint8)
