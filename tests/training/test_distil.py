"""A whole run, as small as it gets: started, stopped, gone on with, exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from artscraper_runner.models import bundled
from artscraper_runner.models.taesd import TaesdNetwork
from training import checkpoint, distil, export
from training.distil import Length, Recipe, Run
from training.labels import Curriculum, teacher_stages
from training.objective import Weights
from training.student import StudentNetwork, StudentShape

TINY = Recipe(
    shape=StudentShape(quarter_width=8, eighth_width=8, blocks=1),
    curriculum=Curriculum(
        attack_after=0, large_after=0, small=32, small_count=2, large=64, large_count=2
    ),
    uses_of_a_label=2,
    drawn=2,
    warm_up_steps=2,
)


def tiny_run(images: Path, teacher: Path, *, steps: int) -> Run:
    length = Length(steps=steps, minutes=None)
    return Run(TINY, length, images=images, teacher=teacher, device=torch.device("cpu"))


@pytest.mark.parametrize(
    ("length", "progress"),
    [
        (Length(steps=10, minutes=None), 0.4),
        (Length(steps=None, minutes=2), 0.5),
        (Length(steps=5, minutes=2), 0.8),
        (Length(steps=2, minutes=None), 1.0),
    ],
)
def test_progress_follows_the_nearest_limit(length: Length, progress: float) -> None:
    assert length.progress(steps=4, elapsed_s=60) == pytest.approx(progress)


def test_run_changes_the_student_and_ends(images: Path, teacher: Path, tmp_path: Path) -> None:
    run = tiny_run(images, teacher, steps=4)
    before = {key: value.clone() for key, value in run.model.student.state_dict().items()}
    distil.train(run, folder=tmp_path / "run", checkpoint_every_s=1e9)
    after = run.model.student.state_dict()
    assert run.steps == 4
    assert all(value.isfinite().all() for value in after.values())
    assert any((after[key] != before[key]).any() for key in before)


def test_continued_run_starts_from_the_weights(images: Path, teacher: Path, tmp_path: Path) -> None:
    first, second = (tiny_run(images, teacher, steps=4) for _ in range(2))
    distil.train(first, folder=tmp_path / "run", checkpoint_every_s=1e9)
    second.start_from(first.average)
    weights = second.model.student.state_dict()
    assert all(torch.equal(weights[key], value) for key, value in first.average.items())
    assert all(torch.equal(second.average[key], value) for key, value in first.average.items())


def test_resumed_run_restores_the_saved_state(images: Path, teacher: Path, tmp_path: Path) -> None:
    run = tiny_run(images, teacher, steps=4)
    for _ in range(2):
        run.step()
    checkpoint.save(tmp_path / "run", run.state())
    other = tiny_run(images, teacher, steps=4)
    state = checkpoint.load(tmp_path / "run")
    assert state is not None
    other.resume(state)
    assert (other.steps, other.progress) == (2, 0.5)
    for group in ("model", "average"):
        ours, theirs = other.state()[group], run.state()[group]
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert other.rng.integers(1 << 60) == run.rng.integers(1 << 60)
    other.step()
    assert other.steps == 3


def test_same_seed_takes_the_same_steps(images: Path, teacher: Path) -> None:
    losses = []
    for _ in range(2):
        run = tiny_run(images, teacher, steps=3)
        losses.append([run.step().total.item() for _ in range(3)])
    assert losses[0] == losses[1]


def test_interrupted_save_keeps_the_previous_checkpoint(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, {"steps": 1})
    with pytest.raises(Exception, match="pickle"):
        checkpoint.save(tmp_path, {"steps": lambda: 2})
    assert checkpoint.load(tmp_path) == {"steps": 1}
    assert checkpoint.load(tmp_path / "elsewhere") is None


def test_run_needs_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        distil.main(["--images", "x", "--teacher", "y"])
    assert "expected --steps or --minutes" in capsys.readouterr().err


def test_export_loads_as_the_bundled_encoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    average = StudentNetwork(TINY.shape).state_dict()
    checkpoint.save(tmp_path / "run", {"average": average, "steps": 9})
    export.main(["--run", str(tmp_path / "run"), "--to", str(tmp_path)])
    halves = load_file(tmp_path / bundled.WEIGHTS)
    assert {value.dtype for value in halves.values()} == {torch.float16}
    assert all(torch.equal(value.half(), halves[key]) for key, value in average.items())
    encoder = bundled.GraphEncoder(tmp_path, name="tiny", accelerator="cpu")
    assert encoder.latents(np.ones((1, 3, 16, 16), np.float32)).shape == (1, 32 * 2 * 2)


def test_export_refuses_float16_overflow(tmp_path: Path) -> None:
    average = StudentNetwork(TINY.shape).state_dict()
    average["head.bias"] += 1e6
    with pytest.raises(ValueError, match=r"head\.bias"):
        export.export(average, tmp_path, steps=1)
    assert not list(tmp_path.iterdir())


def test_export_needs_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        export.main(["--run", str(tmp_path)])
    assert "expected a checkpoint" in capsys.readouterr().err


def test_continued_run_adds_a_neutral_branch(images: Path, teacher: Path) -> None:
    run = tiny_run(images, teacher, steps=2)
    wider = replace(TINY, shape=replace(TINY.shape, half_width=4), weights=Weights(gradient=1.0))
    other = Run(
        wider,
        Length(steps=2, minutes=None),
        images=images,
        teacher=teacher,
        device=torch.device("cpu"),
    )
    other.start_from(run.average)
    pictures = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(run.model.student(pictures), other.model.student(pictures))
    scores = [other.step() for _ in range(2)]
    assert all(-1 <= each.gradient_cosine.item() <= 1 for each in scores)
    assert scores[0].gradient_cosine.item() != 0
    assert other.average["half_branch.down.weight"].any()


def test_labels_hold_teacher_gradients(images: Path, teacher: Path) -> None:
    run = tiny_run(images, teacher, steps=1)
    batch = run.labeller.label(0.5)
    pictures = batch.pictures.clone().requires_grad_(True)
    with run.labeller.autocast():
        latents = teacher_stages(run.labeller.teacher, pictures)[-1].float()
    (expected,) = torch.autograd.grad((latents * batch.directions).sum(), pictures)
    assert torch.allclose(batch.gradients, expected, atol=1e-2 * float(expected.abs().max()))
    assert not batch.gradients.requires_grad


def test_feature_stages_end_with_latents() -> None:
    network = TaesdNetwork(latent_channels=4, pooled=True)
    pictures = torch.rand(1, 3, 32, 32)
    quarter, eighth, latents = teacher_stages(network, pictures)
    assert quarter.shape == (1, 64, 8, 8)
    assert eighth.shape == (1, 64, 4, 4)
    assert torch.equal(latents, network(pictures))
