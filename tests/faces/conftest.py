"""Pictures of faces beside the repository, and the sample portrait in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGES = REPOSITORY.parent / "shared" / "images"


def opened(path: Path) -> NDArray[np.uint8]:
    return np.array(Image.open(path).convert("RGB"))


@pytest.fixture(scope="session")
def portrait() -> NDArray[np.uint8]:
    """The sample portrait's head and shoulders, uint8 (260, 260, 3)."""
    return opened(REPOSITORY / "input" / "astronaut.jpg")[20:280, 90:350]


@pytest.fixture(scope="session")
def images() -> Path:
    if not IMAGES.is_dir():
        pytest.skip(f"needs {IMAGES}")
    return IMAGES
