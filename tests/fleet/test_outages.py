"""The database goes away, the disk is full, clocks are stepped: jobs end all the same."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.db.migrations import IncompatibleDatabase
from artscraper_gateway.jobs import leases
from artscraper_gateway.jobs.leases import LeaseLost
from artscraper_gateway.jobs.models import NewJob, Outcome
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.jobs.request import JobRequest
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.objects import open_storage
from artscraper_gateway.tests.gateway_process import REPOSITORY, until
from artscraper_gateway.tests.stages_for_tests.stages_that_misbehave import GATE_WIDTH
from artscraper_gateway.worker.steps import JobSteps
from artscraper_runner import Cancelled
from tests.fleet.conftest import missing
from tests.fleet.fleet import Fleet, given_up, registered
from tests.fleet.servers import PostgresServer, free_port

Start = Callable[..., Fleet]
Picture = Callable[..., bytes]
MountDisk = Callable[[str, str], Path]
OUTAGE_S = 5
MEBIBYTE = 1024**2


def test_job_survives_postgresql_restart(
    start_fleet: Start, postgres: PostgresServer, picture: Picture
) -> None:
    fleet = start_fleet({"database_url": postgres.new_database()})
    worker = fleet.ready_worker(0)
    job_id = fleet.submit(picture(GATE_WIDTH))
    fleet.entered()
    postgres.stop()
    try:
        with fleet.web.client() as client:
            answer = client.get(f"/v1/jobs/{job_id}")
        assert answer.status_code == 503, answer.text
        assert answer.json()["code"] == "database-away" and answer.headers["Retry-After"]
        fleet.open_gate()  # the stage ends during the outage
        time.sleep(OUTAGE_S)
    finally:
        postgres.start()
    assert fleet.ended(job_id)["status"] == "done"
    assert fleet.ended(fleet.submit(picture()))["status"] == "done"
    assert worker.process.poll() is None, "the worker outlived the outage"
    assert (fleet.home / "gate-entered").read_text() == "x", "nothing was done twice"


def test_database_password_is_never_logged(
    start_fleet: Start, postgres: PostgresServer, picture: Picture, tmp_path: Path
) -> None:
    fleet = start_fleet({"database_url": postgres.new_database(), "log_level": "debug"})
    fleet.ready_worker(0)
    assert fleet.ended(fleet.submit(picture()))["status"] == "done"
    assert "swordfish" not in fleet.logs()


@pytest.mark.system
def test_unusable_database_is_named_without_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"postgresql://fleet:swordfish@127.0.0.1:{free_port()}/nobody"
    config = GatewayConfig(base_dir=tmp_path, database_url=SecretStr(url))
    with pytest.raises(IncompatibleDatabase, match=r"fleet:\*\*\*@127.0.0.1") as refused:
        open_engine(config)
    assert "swordfish" not in str(refused.value)
    in_query = f"postgresql://127.0.0.1:{free_port()}/nobody?user=fleet&password=swordfish"
    for wrong in (url, url.replace("postgresql", "mysql"), in_query):
        done = subprocess.run(
            [sys.executable, "-m", "artscraper_gateway", f"--database-url={wrong}", "--port=0"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 2 and "error: " in done.stderr
        assert "swordfish" not in done.stderr and "Traceback" not in done.stderr
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(IncompatibleDatabase, match=r"pip install 'artscraper-gateway\[postgres\]'"):
        open_engine(config)


@pytest.fixture
def mount_disk(tmp_path: Path) -> Iterator[Callable[[str, str], Path]]:
    """Mount a disk of so many bytes, like "512k", as a folder of the test's own."""
    mounted: list[Path] = []

    def mount(name: str, size: str) -> Path:
        if os.geteuid() != 0:
            missing("a small disk can only be mounted by root")
        folder = tmp_path / name
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
        if subprocess.run(command, check=False, capture_output=True).returncode != 0:
            missing("a tmpfs cannot be mounted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Fill the disk to the last byte; return the file that does."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    return filler


def waiting_for_disk(fleet: Fleet, job_id: str) -> dict[str, Any]:
    """Return the job's state once it waits for the disk."""

    def state() -> dict[str, Any] | None:
        job = fleet.job(job_id)
        return job if job["retry_at"] or job["status"] in ("done", "error") else None

    job: dict[str, Any] = until(state, what=lambda: f"{job_id} waits: {fleet.logs()}")
    assert job["status"] == "queued", job
    assert job["retry_reason"] == "No space left on device"
    return job


def test_full_disk_fails_the_job_and_the_service_continues(
    start_fleet: Start, mount_disk: MountDisk, picture: Picture
) -> None:
    small_disk = mount_disk("small", "512k")
    options = {"min_free_disk": 0, "storage_retry_for": 2}
    fleet = start_fleet({"output_parent": small_disk / "outputs", **options})
    fleet.ready_worker(0)
    nothing = {"include_protection": "0", "include_hash_analysis": "0", "stages": ""}
    for light in ({}, nothing):
        job_id = fleet.submit(picture(500, 500), **light)
        waiting_for_disk(fleet, job_id)
        job = fleet.ended(job_id)
        assert job["status"] == "error"
        assert "No space left on device" in job["error"]
        assert str(small_disk) not in job["error"]
    job = fleet.ended(fleet.submit(picture(64, 64)))
    assert job["status"] == "done", job["error"]


def test_job_waits_for_room_on_a_full_disk(
    start_fleet: Start, mount_disk: MountDisk, picture: Picture
) -> None:
    small_disk = mount_disk("small", "8m")
    fleet = start_fleet({"output_parent": small_disk / "outputs", "min_free_disk": MEBIBYTE})
    worker = fleet.ready_worker(0)
    job_id = fleet.submit(picture(GATE_WIDTH))
    fleet.entered()
    filler = fill(small_disk)
    fleet.open_gate()
    waiting_for_disk(fleet, job_id)
    refused_for_its_disk(fleet, picture())
    filler.unlink()
    assert fleet.ended(job_id)["status"] == "done"
    assert fleet.ended(fleet.submit(picture()))["status"] == "done"
    assert worker.process.poll() is None, "the worker outlived the full disk"


def refused_for_its_disk(fleet: Fleet, content: bytes) -> None:
    """Assert that a submission is refused, once the gateway has looked at its disk again."""
    with fleet.web.client() as client:
        until(lambda: client.get("/readyz").status_code == 503, what="the disk is full")
        assert client.get("/readyz").json()["code"] == "disk-full"
        refused = client.post("/v1/jobs", files={"file": content})
    assert refused.status_code == 503 and refused.json()["code"] == "disk-full", refused.text


def test_full_disk_with_database_is_survived(
    start_fleet: Start, mount_disk: MountDisk, picture: Picture
) -> None:
    disk = mount_disk("gateway_jobs", "32m")
    fleet = start_fleet({"output_parent": disk / "outputs", "min_free_disk": MEBIBYTE})
    assert fleet.web.base_dir == disk
    worker = fleet.ready_worker(0)
    before = fleet.submit(picture(64, 64))
    assert fleet.ended(before)["status"] == "done"
    job_id = fleet.submit(picture(GATE_WIDTH))
    fleet.entered()
    fill(disk)
    fleet.open_gate()
    until(lambda: "No space left on device" in worker.log_path.read_text(), what="no room")
    filler = fill(disk)
    refused_for_its_disk(fleet, picture(400, 400))
    assert fleet.job(job_id)["status"] in ("queued", "running"), "it waits for room"
    with fleet.web.client() as client:
        deleted = client.delete(f"/v1/jobs/{before}")
        assert deleted.status_code == 200, deleted.text
        assert client.get(f"/v1/jobs/{before}").status_code == 404
    filler.unlink()
    job = fleet.ended(job_id)
    assert job["status"] == "done", job["error"]
    assert fleet.ended(fleet.submit(picture()))["status"] == "done"
    assert worker.process.poll() is None, "the worker outlived the full disk"


def test_silent_worker_is_expired_once(engine: sa.Engine) -> None:
    silent, first, second = (registered(engine, slot) for slot in range(3))
    given_up = []
    for _ in range(5):
        for heart in (first, second):
            heart.beat()
            given_up += heart.expire_stale_workers()
    assert given_up == [silent.id]
    with pytest.raises(LeaseLost, match="was expired"):
        silent.beat()
    with pytest.raises(LeaseLost):
        JobStore(engine).begin_stage(held_job(engine), "original", worker=silent.id)


def test_stepping_the_clock_expires_no_worker(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = registered(engine, 0), registered(engine, 1)
    clock, monotonic = time.time, time.monotonic
    for days in (1, -2, 400, 0):
        shift = days * 86_400.0
        monkeypatch.setattr(time, "time", lambda shift=shift: clock() + shift)
        monkeypatch.setattr(time, "monotonic", lambda shift=shift: monotonic() + abs(shift))
        for _ in range(2):
            one.beat()
            other.beat()
            assert one.expire_stale_workers() == other.expire_stale_workers() == []


def test_failed_polls_are_not_counted_as_missed_beats(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unavailable database records no beats."""
    looking, _silent = registered(engine, 0), registered(engine, 1)
    for _ in range(3):
        assert looking.expire_stale_workers() == []

    def away(_: sa.Engine) -> sa.Connection:
        raise sa.exc.OperationalError("select", {}, Exception("away"))

    with monkeypatch.context() as outage:
        outage.setattr(leases, "reading", away)
        with pytest.raises(sa.exc.OperationalError):
            looking.expire_stale_workers()
    for _ in range(2):
        assert looking.expire_stale_workers() == []


def test_next_worker_of_a_slot_releases_its_leases(engine: sa.Engine) -> None:
    before, store = registered(engine, 0), JobStore(engine)
    job_id = held_job(engine)
    assert store.begin_stage(job_id, "original", worker=before.id) == 1
    after = registered(engine, 0)
    assert leases.Leases(engine).owner(job_id) is None
    outcome = Outcome(job_id, None, None)
    assert not store.finish(outcome, worker=before.id)
    assert store.begin_stage(job_id, "original", worker=after.id) == 2
    assert store.begin_stage(job_id, "original", worker=registered(engine, 1).id) is None
    assert store.finish(outcome, worker=after.id)


@pytest.mark.parametrize("is_over", [False, True])
def test_expired_worker_records_no_cancellation(
    engine: sa.Engine, tmp_path: Path, is_over: bool
) -> None:
    """Its stage stops as if cancelled, but the job continues elsewhere."""
    heart, config = registered(engine, 0), GatewayConfig(base_dir=tmp_path)
    store, job_id = JobStore(engine), held_job(engine)
    job = store.find(job_id)
    assert job is not None
    steps = JobSteps(job, config, store, open_storage(config), heart.id, lambda _: nullcontext())

    def stage() -> dict[str, Any]:
        if is_over:
            given_up(heart)
        else:
            store.cancel(job_id)
        assert steps._should_stop()
        raise Cancelled("stopped")

    with pytest.raises(LeaseLost if is_over else Cancelled):
        steps._execute("mist", stage)


def held_job(engine: sa.Engine) -> str:
    job_id = "ab" * 16
    with engine.begin() as connection:
        JobStore(engine).add(connection, NewJob(job_id, "image.png", JobRequest(), "heavy"))
    return job_id
