"""How a job ends in the hands of one worker, whatever others do with it meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.jobs.models import Job, NewJob, Outcome
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.jobs.request import JobRequest
from artscraper_gateway.observability.metrics import Recorder
from artscraper_gateway.observability.tracing import Tracing
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import SUMMARY
from artscraper_gateway.storage.local import SharedFolder
from artscraper_gateway.storage.paths import JobFolders, write_soon
from artscraper_gateway.worker.runner import JobRunner
from artscraper_gateway.worker.telemetry import JobObserver
from artscraper_runner import StageFailed

JOB_ID = "a" * 32
REQUEST = JobRequest(include_hash_analysis=False, include_protection=False)


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[JobRunner]:
    config = GatewayConfig(base_dir=tmp_path / "base", output_parent=tmp_path / "outputs")
    store = JobStore(open_engine(config))
    observer = JobObserver(Recorder("worker", "here"), Tracing())
    yield JobRunner(config, store, SharedFolder(config), "late", observer)
    store.engine.dispose()


@pytest.fixture
def job(runner: JobRunner) -> Job:
    with runner.store.engine.begin() as connection:
        runner.store.add(connection, NewJob(JOB_ID, "image.png", REQUEST, "light"))
    added = runner.store.find(JOB_ID)
    assert added is not None
    return added


def write_as(worker: str, runner: JobRunner) -> Path:
    output, _ = JobFolders.of(JOB_ID, runner.config).of_worker(worker)
    output.mkdir(parents=True)
    (output / SUMMARY).write_text(f"{{}} by {worker}")
    return output


def test_a_worker_whose_folder_goes_since_another_published_has_a_job_that_is_done(
    runner: JobRunner, job: Job
) -> None:
    """The other one was given up in the moment before, and did not know of it yet."""
    own = write_as("late", runner)

    def make_results() -> None:
        write_as("given-up", runner)
        runner.storage.publish(JOB_ID, "given-up")
        (own / "layers").mkdir()  # its folder is gone

    assert runner.outcome_of(job, make_results) == Outcome(JOB_ID, None, None)
    assert (runner.storage.output(JOB_ID) / SUMMARY).read_text() == "{} by given-up"


def test_what_stays_is_counted_not_what_workers_before_have_left(
    runner: JobRunner, job: Job
) -> None:
    own, other = write_as("late", runner), write_as("given-up", runner)
    (other / "layer.png").write_bytes(b"x" * 1000)
    (own.parent / "work").mkdir()
    (own.parent / "work" / "pixels.npy").write_bytes(b"x" * 5000)
    size = (own / SUMMARY).stat().st_size
    outcome = runner.outcome_of(job, lambda: None)
    assert outcome == Outcome(JOB_ID, None, size)


def test_what_a_dead_worker_left_of_a_cancelled_job_goes_when_it_comes_up_again(
    runner: JobRunner, job: Job
) -> None:
    output = write_as("given-up", runner)
    assert runner.store.cancel(JOB_ID)
    runner.run(JOB_ID)
    assert not output.exists()


def test_a_job_that_breaks_before_anybody_has_published_has_failed(
    runner: JobRunner, job: Job
) -> None:
    def make_results() -> None:
        raise StageFailed("original", "it broke")

    failed = runner.outcome_of(job, make_results)
    assert failed is not None and failed.error is not None
    assert "it broke" in failed.error


def test_pictures_of_a_light_job_are_written_soon(
    runner: JobRunner, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda file, *_: asked.append(_name_of(file)))
    source = JobFolders.of(JOB_ID, runner.config).input / "image.png"
    source.parent.mkdir(parents=True)
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(source)
    outcome = runner.file_away(job)
    assert outcome is not None and outcome.error is None
    layer = runner.storage.output(JOB_ID) / "layers" / "00-original" / "image.png"
    assert layer.read_bytes() == source.read_bytes()
    assert {str(source), str(layer)} <= set(asked)


def test_a_hint_that_cannot_be_given_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(22, "Invalid argument")

    (tmp_path / "image.png").touch()
    monkeypatch.setattr(os, "posix_fadvise", fail)
    write_soon(tmp_path, tmp_path / "none")


def _name_of(file: int) -> str:
    return str(Path(f"/proc/self/fd/{file}").readlink())
