"""The stages that look through networks, on a CUDA device: `pytest -m gpu`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from artscraper_runner import protect_picture
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.protection_pipeline import WorkflowConfig
from artscraper_runner.types import Json

PORTRAIT = Path(__file__).parents[2] / "input" / "astronaut.jpg"
ATTACKS = ("photoguard", "mist", "nightshade")
BUDGET = 8  # of 255, at medium
pytestmark = pytest.mark.gpu


def protected(folder: Path, *, seed: int) -> list[Json]:
    """Return the stages' layers of the portrait as PNG, which adds no change of its own."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    folder.mkdir()
    Image.open(PORTRAIT).convert("RGB").save(folder / "portrait.png")
    options = ProtectionOptions(strength="medium", seed=seed)
    config = WorkflowConfig(stages=("fawkes", *ATTACKS), protection=options)
    summary = protect_picture(
        folder / "portrait.png", folder / "out", config=config, include_hash_analysis=False
    )
    layers: list[Json] = summary["layers"][1:]
    return layers


def test_cloaks_and_attacks_keep_the_budget_and_beat_noise(tmp_path: Path) -> None:
    layers = protected(tmp_path / "job", seed=1)
    assert [layer["stage"] for layer in layers if layer["applied"]] == ["fawkes", *ATTACKS]
    for layer in layers:
        assert 0 < layer["metrics"]["linf"] <= BUDGET
    for layer in layers[1:]:
        assert layer["metrics"]["times_noise"]["plain"] >= 1.3
        assert layer["metrics"]["final"]["times_noise"]["plain"] >= 1.3


def test_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    files = [
        [Path(layer["path"]).read_bytes() for layer in protected(tmp_path / name, seed=seed)]
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    ]
    assert files[0] == files[1]
    assert files[0] != files[2]
