"""The end of a job in one worker while others change its state."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from dbos import DBOS
from PIL import Image

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.db.tables import jobs
from artscraper_gateway.jobs.leases import Heartbeats, Leases
from artscraper_gateway.jobs.models import Job, NewJob
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.jobs.request import JobRequest
from artscraper_gateway.observability.metrics import Metrics
from artscraper_gateway.observability.tracing import Tracing
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import SUMMARY, Storage
from artscraper_gateway.storage.paths import JobFolders, hint_writeback
from artscraper_gateway.worker.failures import StorageOutage, storage_outage
from artscraper_gateway.worker.runner import JobExecution, JobObserver, JobRunner
from artscraper_gateway.worker.steps import JobSteps
from artscraper_runner import StageFailed

JOB_ID = "a" * 32
REQUEST = JobRequest(include_hash_analysis=False, include_protection=False)


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[JobRunner]:
    config = GatewayConfig(base_dir=tmp_path / "base", output_parent=tmp_path / "outputs")
    store = JobStore(open_engine(config))
    observer = JobObserver(Metrics(config, "worker"), Tracing())
    heart = Heartbeats(store.engine, "host.slot-0", missed_beats_limit=3)
    heart.register()
    yield JobRunner(config, store, Storage(config), heart.id, observer)
    store.engine.dispose()


@pytest.fixture
def job(runner: JobRunner) -> Job:
    with runner.store.engine.begin() as connection:
        runner.store.add(connection, NewJob(JOB_ID, "image.png", REQUEST, "passthrough"))
    added = runner.store.find(JOB_ID)
    assert added is not None
    return added


def write_as(worker: str, runner: JobRunner) -> Path:
    output, _ = JobFolders.of(JOB_ID, runner.config).of_worker(worker)
    output.mkdir(parents=True)
    (output / SUMMARY).write_text(f"{{}} by {worker}")
    return output


def execution(runner: JobRunner, job: Job, monkeypatch: pytest.MonkeyPatch) -> JobExecution:
    """Return an execution whose durable steps run without the queue's engine."""
    monkeypatch.setattr(DBOS, "run_step", lambda _options, call, *args: call(*args))
    assert Leases(runner.store.engine).acquire(job.id, worker=runner.worker)
    return JobExecution(runner, job)


def stored(runner: JobRunner) -> Job:
    job = runner.store.find(JOB_ID)
    assert job is not None
    return job


def replace_steps(monkeypatch: pytest.MonkeyPatch, make_results: Callable[[], None]) -> None:
    monkeypatch.setattr(JobSteps, "run_all", lambda _self: make_results())


def test_execution_finds_results_published_by_an_expired_worker(
    runner: JobRunner, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other worker was expired just before, without having noticed."""
    own = write_as(runner.worker, runner)

    def make_results() -> None:
        write_as("expired", runner)
        runner.storage.publish(JOB_ID, "expired")
        (own / "layers").mkdir()  # its folder is gone

    replace_steps(monkeypatch, make_results)
    execution(runner, job, monkeypatch).run()
    assert stored(runner).status == "done"
    assert (runner.storage.output(JOB_ID) / SUMMARY).read_text() == "{} by expired"


def test_disk_bytes_exclude_folders_of_earlier_workers(
    runner: JobRunner, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = write_as(runner.worker, runner), write_as("expired", runner)
    (other / "layer.png").write_bytes(b"x" * 1000)
    (own.parent / "work").mkdir()
    (own.parent / "work" / "pixels.npy").write_bytes(b"x" * 5000)
    size = (own / SUMMARY).stat().st_size
    replace_steps(monkeypatch, lambda: None)
    execution(runner, job, monkeypatch).run()
    assert stored(runner).disk_bytes == size
    assert stored(runner).results_in == str(runner.config.output_parent)


def test_requeued_cancelled_job_removes_its_files(runner: JobRunner, job: Job) -> None:
    output = write_as("expired", runner)
    assert runner.store.cancel(JOB_ID)
    runner.run(JOB_ID)
    assert not output.exists()


def test_failing_stage_fails_the_job(
    runner: JobRunner, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_results() -> None:
        raise StageFailed("original", "it broke")

    replace_steps(monkeypatch, make_results)
    execution(runner, job, monkeypatch).run()
    failed = stored(runner)
    assert failed.status == "error" and "it broke" in str(failed.error)
    assert Leases(runner.store.engine).owner(JOB_ID) is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_storage_outage_is_retried_with_backoff(
    runner: JobRunner, job: Job, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def make_results() -> None:
        raise OSError(number, os.strerror(number))

    replace_steps(monkeypatch, make_results)
    pauses = []
    for _ in range(3):
        with pytest.raises(StorageOutage):
            execution(runner, stored(runner), monkeypatch).run()
        waiting = stored(runner)
        assert (waiting.status, waiting.worker, waiting.error) == ("queued", None, None)
        assert waiting.retry_reason == os.strerror(number) and waiting.retry_at is not None
        pauses.append(round(waiting.retry_at - time.time()))
    assert pauses == [2, 4, 8]
    replace_steps(monkeypatch, lambda: write_as(runner.worker, runner) and None)
    execution(runner, stored(runner), monkeypatch).run()
    assert (stored(runner).status, stored(runner).retry_at) == ("done", None)


def test_job_fails_after_storage_retry_for(
    runner: JobRunner, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_results() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    replace_steps(monkeypatch, make_results)
    with pytest.raises(StorageOutage):
        execution(runner, job, monkeypatch).run()
    an_hour_ago = {"retry_since": time.time() - runner.config.storage_retry_for}
    with runner.store.engine.begin() as connection:
        connection.execute(sa.update(jobs).values(an_hour_ago))
    execution(runner, stored(runner), monkeypatch).run()
    failed = stored(runner)
    assert failed.status == "error"
    assert failed.error == "the gateway could not store the results: No space left on device"


def test_stage_failure_with_a_storage_cause_is_an_outage() -> None:
    failure = StageFailed("mist", "No space left on device")
    failure.__cause__ = OSError(errno.ENOSPC, "No space left on device", "/secret/place")
    assert storage_outage(failure) == "No space left on device"
    assert storage_outage(StageFailed("mist", "it broke")) is None
    assert storage_outage(FileNotFoundError(errno.ENOENT, "gone")) is None


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libx.so: failed to map segment: Cannot allocate memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_out_of_memory_is_reported_and_restarts_the_worker(
    runner: JobRunner, job: Job, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Libraries wrap it in other errors, such as one about a damaged picture."""

    def make_results() -> None:
        raise StageFailed("original", "this JPEG cannot be decoded: ") from error

    restarts: list[bool] = []
    runner.on_out_of_memory = lambda: restarts.append(True)
    replace_steps(monkeypatch, make_results)
    execution(runner, job, monkeypatch).run()
    failed = stored(runner)
    assert failed.status == "error" and "ran out of memory" in str(failed.error)
    assert restarts == [True]


def test_files_of_a_passthrough_job_are_written_back_soon(
    runner: JobRunner, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    hinted: list[str] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda file, *_: hinted.append(_name_of(file)))
    source = JobFolders.of(JOB_ID, runner.config).input / "image.png"
    source.parent.mkdir(parents=True)
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(source)
    execution(runner, job, monkeypatch).run()
    assert stored(runner).status == "done"
    layer = runner.storage.output(JOB_ID) / "layers" / "00-original" / "image.png"
    assert layer.read_bytes() == source.read_bytes()
    assert {str(source), str(layer)} <= set(hinted)


def test_failed_writeback_hint_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(22, "Invalid argument")

    (tmp_path / "image.png").touch()
    monkeypatch.setattr(os, "posix_fadvise", fail)
    hint_writeback(tmp_path, tmp_path / "none")


def _name_of(file: int) -> str:
    return str(Path(f"/proc/self/fd/{file}").readlink())
