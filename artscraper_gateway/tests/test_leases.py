"""Workers of one name exclude each other, and abandoned jobs are requeued."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from dbos._sys_db import SystemDatabase

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.jobs import leases, queue
from artscraper_gateway.jobs.leases import Heartbeats, HostNameTaken, LeaseLost, Leases
from artscraper_gateway.jobs.models import NewJob
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.jobs.request import JobRequest
from artscraper_gateway.settings.model import GatewayConfig

JOB_ID = "a" * 32


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_engine(GatewayConfig(base_dir=tmp_path / "jobs"))
    yield engine
    engine.dispose()


def heartbeats(engine: sa.Engine, origin: str) -> Heartbeats:
    return Heartbeats(engine, "studio.slot-0", missed_beats_limit=3, origin=origin)


def beat_while_sleeping(monkeypatch: pytest.MonkeyPatch, heart: Heartbeats | None) -> None:
    """Make the pauses of a worker that registers short; `heart` beats meanwhile."""
    clock = [time.monotonic()]

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        if heart is not None:
            heart.beat()

    monkeypatch.setattr(leases.time, "sleep", sleep)
    monkeypatch.setattr(leases.time, "monotonic", lambda: clock[0])


def test_register_refuses_a_host_name_whose_worker_is_alive_elsewhere(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = heartbeats(engine, "machine-1"), heartbeats(engine, "machine-2")
    first.register()
    beat_while_sleeping(monkeypatch, first)
    with pytest.raises(HostNameTaken, match="host name of its own"):
        second.register()
    first.beat()  # it was not expired


def test_register_replaces_a_dead_worker_of_another_boot(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = heartbeats(engine, "boot-1"), heartbeats(engine, "boot-2")
    first.register()
    beat_while_sleeping(monkeypatch, None)
    second.register()
    with pytest.raises(LeaseLost):
        first.beat()
    assert second.alive_ids() == {second.id}


def test_register_does_not_wait_if_file_lock_is_free(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = heartbeats(engine, "machine-1"), heartbeats(engine, "machine-1")
    first.register()
    monkeypatch.setattr(leases.time, "sleep", lambda _: pytest.fail("it waited"))
    second.register()
    assert second.alive_ids() == {second.id}


def test_slot_origin_differs_between_folders(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    assert leases.slot_origin(tmp_path / "one") == leases.slot_origin(tmp_path / "one") != ""
    assert leases.slot_origin(tmp_path / "one") != leases.slot_origin(tmp_path / "other")
    assert leases.slot_origin(tmp_path / "none") == ""


def test_due_retries_are_claimed_once(engine: sa.Engine) -> None:
    store, heart = JobStore(engine), heartbeats(engine, "here")
    heart.register()
    with engine.begin() as connection:
        store.add(connection, NewJob(JOB_ID, "image.png", JobRequest(), "heavy"))
    assert Leases(engine).acquire(JOB_ID, worker=heart.id)
    assert store.postpone(JOB_ID, worker=heart.id, reason="disk full", pause_s=-1)
    assert store.claim_due_retries() == {JOB_ID}
    assert store.claim_due_retries() == set()
    assert Leases(engine).acquire(JOB_ID, worker=heart.id)
    assert store.find(JOB_ID).retry_at is None  # type: ignore[union-attr]


def test_requeue_matches_the_queue_library() -> None:
    """The contract of the one private call: DBOS is pinned, and this fails before a fleet does."""
    parameters = list(inspect.signature(SystemDatabase.reenqueue_for_recovery).parameters)
    assert parameters == ["self", "workflow_id", "executor_ids", "recovery_queue_name"]
    source = inspect.getsource(queue)
    assert source.count("_sys_db") == 1 and source.count("from dbos._") == 1
