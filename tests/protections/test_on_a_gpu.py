"""The stages that look through networks, on a CUDA device: `pytest -m gpu`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from artscraper_runner import protect_picture
from artscraper_runner.protection_pipeline import WorkflowConfig

PORTRAIT = Path(__file__).parents[2] / "input" / "astronaut.jpg"


@pytest.mark.gpu
def test_a_portrait_with_cloaked_faces(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    config = WorkflowConfig(stages=("fawkes", "photoguard", "mist", "nightshade"))
    summary = protect_picture(PORTRAIT, tmp_path, config=config, include_hash_analysis=False)
    assert all(layer["applied"] for layer in summary["layers"])
