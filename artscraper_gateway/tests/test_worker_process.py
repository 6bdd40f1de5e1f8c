"""The threads of a worker process: heartbeat and sweep, also while it drains."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.jobs.leases import Heartbeats, Leases
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.observability.metrics import Metrics
from artscraper_gateway.observability.tracing import Tracing
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import Storage
from artscraper_gateway.worker import process
from artscraper_gateway.worker.runner import JobObserver


class _Exited(Exception):
    """`os._exit` was called."""


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[process._Worker]:
    def leave(status: int) -> None:
        raise _Exited(status)

    monkeypatch.setattr(process.os, "_exit", leave)
    monkeypatch.setattr(process.time, "sleep", lambda _: None)
    monkeypatch.setattr(process.logging, "shutdown", lambda: None)
    config = GatewayConfig(base_dir=tmp_path / "jobs", output_parent=tmp_path)
    store = JobStore(open_engine(config))
    heart = Heartbeats(store.engine, "host.slot-0", missed_beats_limit=3)
    heart.register()
    observer = JobObserver(Metrics(config, "worker"), Tracing())
    stop = threading.Event()
    yield process._Worker(config, store, Storage(config), heart, observer, stop, False)
    store.engine.dispose()


def test_beat_exits_the_process_when_the_lease_is_lost(
    worker: process._Worker, caplog: pytest.LogCaptureFixture
) -> None:
    Leases(worker.store.engine).deregister(worker.heart.id)
    with pytest.raises(_Exited, match="1"):
        worker._beat()
    assert "expired" in caplog.text


def test_beat_ends_quietly_after_the_worker_deregistered(worker: process._Worker) -> None:
    worker.heart.has_left = True
    Leases(worker.store.engine).deregister(worker.heart.id)
    worker._beat()


def test_beat_exits_the_process_when_no_connection_becomes_free(
    worker: process._Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def time_out() -> None:
        raise sa.exc.TimeoutError("pool")

    monkeypatch.setattr(worker.heart, "beat", time_out)
    with pytest.raises(_Exited):
        worker._beat()
    assert "no database connection" in caplog.text


def test_sweep_survives_an_outage_of_the_database(
    worker: process._Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: object) -> None:
        raise sa.exc.OperationalError("select", {}, Exception("gone"))

    monkeypatch.setattr(process, "requeue_abandoned", fail)
    worker._sweep()
    assert "abandoned jobs cannot be" in caplog.text
    monkeypatch.setattr(process, "requeue_abandoned", lambda **_: ["a" * 32])
    worker._sweep()
    assert f"requeued: {'a' * 32}" in caplog.text
