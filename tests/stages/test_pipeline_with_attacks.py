"""A whole job: layers in order, one budget, readable metrics, and transparency."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from artscraper_runner.attacks.evaluation import VIEWS
from artscraper_runner.errors import StageFailed
from artscraper_runner.latent.attack import PictureAttack
from artscraper_runner.models.taesd import TaesdNetwork
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.pipeline.run import PictureRun
from artscraper_runner.pipeline.workspace import Workspace
from artscraper_runner.protection_pipeline import WorkflowConfig, protect_picture
from artscraper_runner.types import Controls

REPOSITORY = Path(__file__).resolve().parents[2]
ATTACKS = ["photoguard", "mist", "nightshade"]


def protected(path, out, *, stages=None, **options):
    seen = []
    summary = protect_picture(
        path,
        out,
        config=WorkflowConfig(stages, protection=ProtectionOptions(**options)),
        include_hash_analysis=False,
        controls=Controls(on_progress=seen.append),
    )
    return summary, seen


@pytest.fixture(scope="module")
def job(textured, tmp_path_factory):
    folder = tmp_path_factory.mktemp("job")
    Image.fromarray(textured).save(folder / "art.png")
    return (*protected(folder / "art.png", folder / "out"), folder)


def test_every_layer_keeps_the_budget(job, textured):
    summary, _, _ = job
    stages = [layer["stage"] for layer in summary["layers"]]
    attacks = [name for name in stages if name in ATTACKS]
    assert attacks == ATTACKS
    assert stages[-1] == "invisible-watermark"
    for layer in summary["layers"]:
        if layer["stage"] in ATTACKS:
            saved = np.asarray(Image.open(layer["path"]).convert("RGB")).astype(int)
            assert layer["metrics"]["linf"] == np.abs(saved - textured).max() <= 8


def test_metrics_have_the_effect_left_in_the_final_picture(job):
    summary, _, folder = job
    assert json.loads((folder / "out" / "summary.json").read_text("utf-8")) == summary
    layers = {layer["stage"]: layer for layer in summary["layers"]}
    finals = [layers[name]["metrics"]["final"] for name in ATTACKS]
    assert finals[0]["effect"] == finals[1]["effect"] == finals[2]["effect"]
    for name in ATTACKS:
        metrics = layers[name]["metrics"]
        assert (metrics["verdict"] is None) == metrics["effective"]
        assert set(layers[name]["metrics"]["final"]["effect"]) == {"plain", "jpeg_75", "halved"}
    watermark = layers["invisible-watermark"]
    assert not watermark["applied"] and "final" not in watermark["metrics"], "it is too small"


def test_every_stage_beats_noise_of_its_own_spectrum(tmp_path):
    with Image.open(REPOSITORY / "input" / "astronaut.jpg") as portrait:
        portrait.convert("RGB").resize((192, 192)).save(tmp_path / "portrait.png")
    summary, _ = protected(tmp_path / "portrait.png", tmp_path / "out", stages=tuple(ATTACKS))
    metrics = {layer["stage"]: layer.get("metrics") for layer in summary["layers"]}
    for name in ATTACKS:
        assert metrics[name]["effective"] is True and metrics[name]["verdict"] is None
        assert metrics[name]["times_shaped_noise"]["plain"] >= 1.4
        assert metrics[name]["own_times_shaped_noise"] >= 1.4


@pytest.mark.parametrize("views", [("plain",), tuple(VIEWS)])  # of a layer, and of the last one
def test_out_of_memory_during_evaluation_fails_the_stage(views, textured, tmp_path, monkeypatch):
    effects = PictureAttack._effects

    def fails(attack, size, layer, seen):
        if seen == views:
            raise MemoryError("out of memory")
        return effects(attack, size, layer, seen)

    Image.fromarray(textured).save(tmp_path / "art.png")
    monkeypatch.setattr(PictureAttack, "_effects", fails)
    with pytest.raises(StageFailed, match="photoguard failed: out of memory") as caught:
        protected(tmp_path / "art.png", tmp_path / "out")
    assert caught.value.stage == "photoguard"


def test_credits_list_applied_stages(job):
    applied = {row["name"] for row in job[0]["projects"] if row["applied"]}
    assert {"PhotoGuard", "Mist v2", "Nightshade (research code)"} <= applied


def test_progress_within_a_stage_keeps_its_step(job):
    seen = job[1]
    inside = [progress for progress in seen if progress.what.startswith("photoguard ")]
    assert inside
    assert {progress.done for progress in inside} == {2}
    assert all(a.done <= b.done for a, b in pairwise(seen))


@pytest.mark.parametrize("first", ATTACKS)
@pytest.mark.parametrize(("encoder", "steps"), [("bundled", 8), ("taesd", 14)])
def test_first_attack_runs_all_steps(first, encoder, steps, textured, tmp_path):
    Image.fromarray(textured[:64, :96]).save(tmp_path / "art.png")
    network = TaesdNetwork(latent_channels=4, pooled=False)
    torch.save(network.state_dict(), tmp_path / "taesd_encoder.pth")
    later = ATTACKS[ATTACKS.index(first) - 1]
    summary, _ = protected(
        tmp_path / "art.png",
        tmp_path / "out",
        stages=("fawkes", first, later),
        encoder=encoder,
        models_dir=tmp_path,
    )
    taken = [layer["metrics"].get("iterations") for layer in summary["layers"][1:]]
    assert taken == [None, steps, 6], "fawkes finds no face"


def test_repeated_stage_gives_the_same_result(textured, tmp_path):
    Image.fromarray(textured).save(tmp_path / "art.png")
    run = PictureRun(tmp_path / "art.png", Workspace(tmp_path / "out", tmp_path / "work"))
    run.workspace.create()
    first, again = (run.protect("nightshade", 1) for _ in range(2))
    assert first == again
    assert first["metrics"]["iterations"] == 8


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_small_flat_picture_is_protected(mode, tmp_path):
    Image.new(mode, (32, 32), 128 if mode == "L" else (90, 90, 90)).save(tmp_path / "art.png")
    summary, _ = protected(tmp_path / "art.png", tmp_path / "out")
    assert len(summary["layers"]) == len(ATTACKS) + 3  # original, fawkes, watermark
    assert summary["layers"][1]["stage"] == "fawkes"
    assert summary["layers"][1]["reason"] == "no face found"
