"""The next stage is applied while a layer is saved and measured."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.errors import PictureTooSmall, StageFailed
from artscraper_runner.imaging.tiles import CAN_UNLOAD
from artscraper_runner.pipeline.run import PictureRun
from artscraper_runner.pipeline.workspace import Workspace
from artscraper_runner.stages.stage import Stage, StageInput
from artscraper_runner.types import Controls, Progress, Project, StageResult


class _Slow(Stage):
    """Adds one level; `apply` waits until the test lets it go on."""

    description = "Adds one."
    project = Project("test", "test")

    def __init__(self, name: str, gates: dict[str, threading.Event], seen: list[str]) -> None:
        self.name, self._gates, self._seen = name, gates, seen

    def prepare(self, inputs: StageInput) -> None:
        assert inputs.pixels is inputs.original
        self._seen.append(f"prepare {self.name}")

    def apply(self, inputs: StageInput) -> StageResult:
        self._seen.append(f"apply {self.name} after {','.join(inputs.stages_before)}")
        if self.name in self._gates:
            assert self._gates[self.name].wait(30)
        inputs.controls.checkpoint()
        return StageResult(inputs.pixels + np.uint8(1))

    def measure(self, saved: np.ndarray, inputs: StageInput) -> dict:
        self._seen.append(f"measure {self.name}")
        for gate in self._gates.values():
            gate.set()
        return {}


def _run_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gates: dict, seen: list) -> PictureRun:
    Image.new("RGB", (24, 16), (90, 100, 110)).save(tmp_path / "art.png")
    monkeypatch.setattr(
        "artscraper_runner.pipeline.run.load_stage", lambda name: _Slow(name, gates, seen)
    )
    run = PictureRun(tmp_path / "art.png", Workspace(tmp_path / "out", tmp_path / "work"))
    run.workspace.create()
    return run


def test_next_stage_is_applied_during_evaluation(tmp_path, monkeypatch):
    """The second stage can only end once the first one's layer is measured."""
    seen: list[str] = []
    with _run_of(tmp_path, monkeypatch, {"two": threading.Event()}, seen) as run:
        first = run.protect("one", 1, following="two")
        second = run.protect("two", 2)
    assert seen[0] == "apply one after " and seen[-1] == "measure two"
    assert set(seen[1:3]) == {"apply two after one", "measure one"}
    assert [layer["metrics"]["linf"] for layer in (first, second)] == [1, 2]


def test_unused_stage_applied_ahead_is_stopped(tmp_path, monkeypatch):
    seen: list[str] = []
    gate = threading.Event()
    with _run_of(tmp_path, monkeypatch, {"two": gate}, seen) as run:
        run.protect("one", 1, following="two")
        again = run.protect("one", 1)
    assert again["metrics"]["linf"] == 1
    assert "measure two" not in seen


def test_progress_ahead_is_reported_once_its_stage_is_current(tmp_path, monkeypatch):
    begun, gate = threading.Event(), threading.Event()
    reported: list[str] = []

    def apply(self: _Slow, inputs: StageInput) -> StageResult:
        if self.name == "two":
            inputs.controls.on_progress(Progress("two", 1, 2))
            begun.set()
            assert gate.wait(30)
            inputs.controls.on_progress(Progress("two", 2, 2))
        return StageResult(inputs.pixels + np.uint8(1))

    run = _run_of(tmp_path, monkeypatch, {}, [])
    run.controls = Controls(lambda progress: reported.append(f"{progress.what} {progress.done}"))
    monkeypatch.setattr(_Slow, "apply", apply)
    with run:
        run.protect("one", 1, following="two")
        assert begun.wait(30)
        assert reported == []
        threading.Timer(0.05, gate.set).start()
        run.protect("two", 2)
    assert reported == ["two 2"]


def test_failure_ahead_is_reported_by_its_stage(tmp_path, monkeypatch):
    seen: list[str] = []
    run = _run_of(tmp_path, monkeypatch, {}, seen)
    whole = _Slow.apply

    def fails(self: _Slow, inputs: StageInput) -> StageResult:
        if self.name == "two":
            raise PictureTooSmall(height=1, width=1, min_pixels=4)
        return whole(self, inputs)

    monkeypatch.setattr(_Slow, "apply", fails)
    with run:
        assert run.protect("one", 1, following="two")["applied"] is True
        with pytest.raises(StageFailed, match="two failed"):
            run.protect("two", 2)


@pytest.mark.skipif(not CAN_UNLOAD, reason="this system cannot unload mapped pages")
def test_large_picture_is_mapped_between_the_stages(tmp_path, monkeypatch):
    monkeypatch.setattr("artscraper_runner.pipeline.run.LARGE_VALUES", 10)
    with _run_of(tmp_path, monkeypatch, {}, []) as run:
        rows = [run.protect(name, index, following="two") for index, name in enumerate("ab", 1)]
        inputs = run._stage_input(3)
    assert [row["metrics"]["linf"] for row in rows] == [1, 2]
    assert all(isinstance(each, np.memmap) for each in (inputs.original, inputs.pixels))
    assert int(inputs.pixels[0, 0, 0]) - int(inputs.original[0, 0, 0]) == 2


def test_later_stages_are_prepared_beside_the_first(tmp_path, monkeypatch):
    seen: list[str] = []
    with _run_of(tmp_path, monkeypatch, {}, seen) as run:
        run.stages = ("a", "b", "c")
        run.protect("a", 1, following="b")
        run.protect("b", 2, following="c")
        run.protect("c", 3)
    assert [line for line in seen if line.startswith("prepare")] == ["prepare b", "prepare c"]
    assert seen.index("prepare b") < seen.index("apply b after a")
    assert seen.index("prepare c") < seen.index("apply c after a,b")


def test_nothing_is_prepared_where_nothing_follows(tmp_path, monkeypatch):
    seen: list[str] = []
    with _run_of(tmp_path, monkeypatch, {}, seen) as run:
        run.stages = ("a", "b")
        run.protect("a", 1)
        run.protect("b", 2)
    assert not [line for line in seen if line.startswith("prepare")]


def test_failed_preparation_is_left_to_the_stage(tmp_path, monkeypatch):
    def failing(self: _Slow, inputs: StageInput) -> None:
        raise RuntimeError(self.name)

    monkeypatch.setattr(_Slow, "prepare", failing)
    seen: list[str] = []
    with _run_of(tmp_path, monkeypatch, {}, seen) as run:
        run.stages = ("a", "b")
        run.protect("a", 1, following="b")
        assert run.protect("b", 2)["applied"]


def test_closing_prepares_no_further_stage(tmp_path, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()
    prepared: list[str] = []

    def slow(self: _Slow, inputs: StageInput) -> None:
        prepared.append(self.name)
        begun.set()
        assert go_on.wait(30)

    monkeypatch.setattr(_Slow, "prepare", slow)
    run = _run_of(tmp_path, monkeypatch, {"a": begun}, [])
    run.stages = ("a", "b", "c")
    run._applied("a", 1, prepare=True)
    closing = threading.Thread(target=run.close)
    closing.start()
    assert run._preparation is not None
    assert run._preparation._is_stopping.wait(30)
    go_on.set()
    closing.join(30)
    assert prepared == ["b"]
