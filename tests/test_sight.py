"""The visibility bound of a layer: results are scaled back, or dropped if nothing is left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.imaging.visibility import VisibleChange
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.pipeline.sight import visibility_bound, within_sight
from artscraper_runner.protection_pipeline import WorkflowConfig, protect_picture
from artscraper_runner.stages import load_stage
from artscraper_runner.stages.stage import StageInput
from artscraper_runner.types import Controls, StageResult

ALL = ("fawkes", "photoguard", "mist", "nightshade", "invisible-watermark")


def _inputs(pixels: np.ndarray, visibility: float | None) -> StageInput:
    return StageInput(pixels, pixels, None, ProtectionOptions(), Controls(), visibility=visibility)


def _noisy(pixels: np.ndarray) -> np.ndarray:
    signs = np.random.default_rng(1).choice([-8, 8], pixels.shape)
    return np.clip(pixels + signs, 0, 255).astype(np.uint8)


def test_result_is_scaled_back_to_the_bound() -> None:
    pixels = np.full((64, 64, 3), 120, np.uint8)
    inputs = _inputs(pixels, 1.0)
    result = within_sight(load_stage("mist"), inputs, StageResult(_noisy(pixels)))
    assert result.pixels is not None
    assert 0 < VisibleChange.of(pixels).worst(result.pixels)[0] < 1.2


def test_result_that_its_stage_has_scaled_back_is_kept() -> None:
    pixels = np.full((64, 64, 3), 128, np.uint8)
    result = StageResult(_noisy(pixels), is_within_sight=True)
    assert within_sight(load_stage("mist"), _inputs(pixels, 0.5), result) is result


def test_stage_lost_by_scaling_back_is_not_applied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = load_stage("mist")
    monkeypatch.setattr(type(stage), "why_lost", lambda *_: "nothing is left")
    pixels = np.full((64, 64, 3), 120, np.uint8)
    result = within_sight(stage, _inputs(pixels, 0.5), StageResult(_noisy(pixels)))
    assert result == StageResult(None, reason="nothing is left")
    faint = replace(_inputs(pixels, 50.0))
    assert within_sight(stage, faint, StageResult(_noisy(pixels))).pixels is not None


@pytest.mark.parametrize("strength", ["low", "medium", "high"])
def test_bounds_rise_with_the_stages_and_the_strength(strength: str) -> None:
    options = ProtectionOptions(strength=strength)
    bounds = [visibility_bound(load_stage(name), options, ALL) for name in ALL[1:4]]
    assert None not in bounds
    assert bounds == sorted(bounds)
    assert visibility_bound(load_stage("mist"), replace(options, preset="published"), ALL) is None
    assert visibility_bound(load_stage("c2pa"), options, ALL) is None


def test_layers_keep_the_bound_as_saved(tmp_path: Path, textured: np.ndarray) -> None:
    Image.fromarray(textured).save(tmp_path / "picture.png")
    config = WorkflowConfig(stages=("photoguard", "mist"))
    summary = protect_picture(
        tmp_path / "picture.png", tmp_path / "out", config=config, include_hash_analysis=False
    )
    for layer in summary["layers"][1:]:
        metrics = layer["metrics"]
        assert 0 < metrics["visibility"] <= 1.15 * metrics["visibility_bound"]
