"""A picture's way through the runner: layers, masks, summary, folders, command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from artscraper_runner import (
    Cancelled,
    Controls,
    RunnerError,
    UnknownName,
    protect_picture,
    run_full_workflow,
    stage_names,
)
from artscraper_runner.attacks.presets import STRENGTHS
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.protection_pipeline import WorkflowConfig

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def painting(tmp_path: Path) -> Path:
    rng = np.random.default_rng(5)
    path = tmp_path / "a painting.png"
    smooth = Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8))
    smooth.resize((266, 258), Image.Resampling.BICUBIC).save(path)
    return path


def run_cli(*arguments: str, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "artscraper_runner", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=cwd, env=environment
    )


def test_summary_lists_every_stage_and_credit(painting: Path, tmp_path: Path) -> None:
    config = WorkflowConfig(stages=("invisible-watermark",))
    summary = protect_picture(painting, tmp_path / "out", config=config)
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary
    original, mark = summary["layers"]
    assert original["stage"] == "original" and "mask_path" not in original
    assert Path(original["path"]).read_bytes() == painting.read_bytes()
    assert mark["applied"] and mark["reason"] is None
    assert mark["processing_size"] == [266, 258]
    assert mark["metrics"]["bit_accuracy"] == 1.0
    assert mark["metrics"]["psnr_db"] > 40
    rows = {row["name"]: row for row in summary["projects"]}
    assert rows["invisible-watermark"]["applied"]
    assert rows["invisible-watermark"]["layer_path"] == mark["path"]
    assert rows["imagehash"]["applied"] and rows["imagehash"]["evidence"]
    assert not rows["Tree-Ring"]["applied"] and rows["Tree-Ring"]["notes"]
    assert not (tmp_path / "out" / ".work").exists()


def test_summary_explains_missing_layers(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    text = "\u4e2d" * 25_000  # as UTF-16 it fits into a JPEG, as UTF-8 it does not
    packet = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{text}</x:xmpmeta>".encode("utf-16")
    Image.new("RGB", (64, 48), (90, 120, 60)).save(path, xmp=packet)
    config = WorkflowConfig(stages=("photoguard",))
    summary = protect_picture(path, tmp_path / "out", config=config)
    (note,) = summary["notes"]
    assert (note["subject"], note["action"]) == ("xmp", "dropped")
    assert note["detail"].startswith("XMP is left out of the layers: in UTF-8 it has 75")
    with Image.open(summary["layers"][1]["path"]) as layer:
        assert "xmp" not in layer.info
    bare = protect_picture(path, tmp_path / "bare", config=WorkflowConfig(stages=()))
    assert bare["notes"] == []  # the original is as it came


def test_metrics_are_of_the_saved_file(painting: Path, tmp_path: Path) -> None:
    jpeg = tmp_path / "a.jpg"
    with Image.open(painting) as image:
        image.save(jpeg, quality=80)
    config = WorkflowConfig(stages=("invisible-watermark",))
    layer = protect_picture(jpeg, tmp_path / "out", config=config)["layers"][1]
    with Image.open(layer["path"]) as saved, Image.open(jpeg) as original:
        change = np.asarray(saved).astype(int) - np.asarray(original).astype(int)
    assert layer["metrics"]["linf"] == np.abs(change).max()
    assert layer["metrics"]["psnr_db"] == pytest.approx(
        10 * np.log10(255**2 / np.mean(np.square(change.astype(float))))
    )


def test_mask_shows_the_change(painting: Path, tmp_path: Path) -> None:
    config = WorkflowConfig(stages=("invisible-watermark",))
    layer = protect_picture(painting, tmp_path / "out", config=config)["layers"][1]
    with Image.open(layer["mask_path"]) as mask, Image.open(layer["path"]) as saved:
        with Image.open(painting) as original:
            change = np.abs(np.asarray(saved).astype(int) - np.asarray(original)).max(axis=2)
        assert mask.mode == "L"
        assert np.array_equal(np.asarray(mask), np.minimum(change * 16, 255))


def test_too_small_picture_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    Image.new("RGB", (255, 255), "olive").save(path)
    config = WorkflowConfig(stages=("invisible-watermark",))
    layer = protect_picture(path, tmp_path / "out", config=config)["layers"][1]
    assert not layer["applied"] and "255" in layer["reason"]
    assert layer["metrics"] == {
        "linf": 0,
        "psnr_db": None,
        "ssim": 1.0,
        "visibility": 0.0,
        "visibility_place": [0.0078, 0.0078],  # the first cell, since no place shows anything
        "visibility_bound": STRENGTHS["medium"].visibility,
    }
    with Image.open(layer["path"]) as saved, Image.open(path) as original:
        assert saved.tobytes() == original.tobytes()


@pytest.mark.usefixtures("one_iteration")
def test_fully_transparent_pixels_are_unchanged(painting: Path, tmp_path: Path) -> None:
    with Image.open(painting) as image:
        rgba = np.dstack([np.asarray(image), np.full((258, 266), 255, np.uint8)])
    rgba[:, :200, 3] = 0
    path = tmp_path / "half.png"
    Image.fromarray(rgba).save(path)
    for layer in protect_picture(path, tmp_path / "out")["layers"]:
        with Image.open(layer["path"]) as saved:
            result = np.asarray(saved)
        assert np.array_equal(result[..., 3], rgba[..., 3])
        assert np.array_equal(result[:, :200], rgba[:, :200])


@pytest.mark.usefixtures("one_iteration")
def test_same_picture_gives_the_same_bytes(painting: Path, tmp_path: Path) -> None:
    config = WorkflowConfig(protection=ProtectionOptions(watermark_text="by Ada"))
    first = protect_picture(painting, tmp_path / "1", config=config)["layers"][-1]["path"]
    second = protect_picture(painting, tmp_path / "2", config=config)["layers"][-1]["path"]
    assert Path(first).read_bytes() == Path(second).read_bytes()


def test_stages_run_in_the_requested_order(painting: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="invisible-watermark"):
        protect_picture(painting, tmp_path, config=WorkflowConfig(stages=("blur",)))
    only_original = protect_picture(painting, tmp_path, config=WorkflowConfig(stages=()))
    assert [layer["stage"] for layer in only_original["layers"]] == ["original"]


def test_run_stops_when_cancelled(painting: Path, tmp_path: Path) -> None:
    controls = Controls(should_stop=lambda: True)
    with pytest.raises(Cancelled):
        protect_picture(painting, tmp_path / "out", controls=controls)


@pytest.mark.parametrize("text", ["", "x" * 65, "\ud800"])
def test_invalid_watermark_texts_are_refused(text: str) -> None:
    with pytest.raises(RunnerError, match="watermark_text"):
        ProtectionOptions(watermark_text=text)


def test_broken_picture_does_not_stop_a_folder(painting: Path, tmp_path: Path) -> None:
    folder = tmp_path / "input"
    folder.mkdir()
    painting.rename(folder / "b.png")
    (folder / "a.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "notes.txt").write_text("no picture")
    with Image.open(folder / "b.png") as image:
        image.save(folder / "b.jpg")
    config = WorkflowConfig(stages=("invisible-watermark",))
    result = run_full_workflow(folder, tmp_path / "outputs", config=config)
    assert [Path(row["image"]).name for row in result["processed"]] == ["b.jpg", "b.png"]
    assert [Path(row["image"]).name for row in result["failed"]] == ["a.jpg"]
    folders = {row["output_dir"] for row in result["processed"]}
    assert len(folders) == 2
    for row in result["processed"]:
        assert row.keys() == {"image", "output_dir", "summary", "data"}
        assert row["summary"] == str(Path(row["output_dir"]) / "summary.json")
        assert json.loads(Path(row["summary"]).read_text()) == row["data"]
        assert (Path(row["output_dir"]) / "analysis.json").exists()


@pytest.mark.system
def test_command_line_protects_and_prints_the_path(painting: Path, tmp_path: Path) -> None:
    done = run_cli("protect", str(painting), "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("a painting.png: the change is ")
    assert done.stdout.endswith(f"; saved to {tmp_path / 'out'}\n")
    assert "original" in done.stderr and "\r" not in done.stderr
    with pytest.raises(FileNotFoundError):
        (tmp_path / "outputs").iterdir().__next__()


@pytest.mark.system
def test_command_line_analyses(painting: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    assert run_cli("analyse", str(painting), "--json-out", str(target)).returncode == 0
    analysis = json.loads(target.read_text())
    printed = json.loads(run_cli("analyse", str(painting)).stdout)
    assert printed == analysis
    rows: dict[str, Any] = {row["name"]: row for row in analysis["processors"]}
    assert rows["imagehash"]["data"].keys() == {"ahash", "phash", "dhash", "whash-haar"}
    assert rows["dhash"]["data"].keys() == {"row_hash", "col_hash", "hex"}
    assert rows["metadata"]["data"]["width"] == 266


@pytest.mark.system
def test_command_line_explains_errors(painting: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    for arguments, named, status in (
        (["protect", "missing.png"], "missing.png", 1),
        (["protect", str(tmp_path / "text.png")], "JPEG", 1),
        (["protect", str(painting), "--stages", "blur", "--out", str(tmp_path / "o")], "blur", 2),
        (["analyse", "missing.png"], "missing.png", 1),
    ):
        done = run_cli(*arguments, cwd=tmp_path)
        assert done.returncode == status
        assert named in done.stderr and "Traceback" not in done.stderr


@pytest.mark.usefixtures("one_iteration")
def test_every_registered_stage_keeps_size_and_input(painting: Path, tmp_path: Path) -> None:
    for name in stage_names():
        config = WorkflowConfig(stages=(name,))
        layer = protect_picture(painting, tmp_path / name, config=config)["layers"][1]
        assert layer["stage"] == name and layer["description"]
        with Image.open(layer["path"]) as saved:
            assert saved.size == (266, 258)
        assert layer["applied"] or layer["reason"]


def test_foreign_files_in_output_folder_are_kept(painting: Path, tmp_path: Path) -> None:
    out = tmp_path / "project"
    (out / "layers" / "mine").mkdir(parents=True)
    (out / "layers" / "mine" / "drawing.psd").write_bytes(b"art")
    only_original = WorkflowConfig(stages=())
    first = protect_picture(painting, out, config=only_original)
    with pytest.raises(RunnerError):
        protect_picture(tmp_path / "project" / "layers" / "mine" / "drawing.psd", out)
    with pytest.raises(RunnerError, match="outside the results"):
        protect_picture(Path(first["layers"][0]["path"]), out, config=only_original)
    assert (out / "layers" / "mine" / "drawing.psd").read_bytes() == b"art"
    assert (out / "summary.json").exists()


def test_pictures_of_similar_names_get_separate_folders(painting: Path, tmp_path: Path) -> None:
    folder = tmp_path / "input"
    folder.mkdir()
    for name in ("a.png", "A.png", "a-2.png", "b!c.png", "b-c.png"):
        (folder / name).write_bytes(painting.read_bytes())
    result = run_full_workflow(folder, tmp_path / "out", False, WorkflowConfig(stages=()))
    folders = {row["output_dir"].casefold() for row in result["processed"]}
    assert len(folders) == 5
