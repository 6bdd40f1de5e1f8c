"""/livez, /readyz with each of its reasons, and who may read /metrics."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import sqlalchemy as sa

from artscraper_gateway.auth import keys as key_module
from artscraper_gateway.auth.keys import KeyStore
from artscraper_gateway.db.engine import _readers, open_engine
from artscraper_gateway.errors import DatabaseAway, StorageFailed, WorkersDown
from artscraper_gateway.observability.readiness import Readiness
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import Storage, StorageHealth
from artscraper_gateway.tests.gateway_process import NO_TLS, GatewayProcess, until
from artscraper_gateway.tests.stages_for_tests.stages_that_misbehave import GATE_WIDTH
from artscraper_gateway.tests.support.in_process import InProcessGateway
from artscraper_gateway.tests.test_api_keys import added

Start = Callable[..., GatewayProcess]
LONGER_THAN_A_LOOK_S = 5  # the database's own three seconds, and a flush a second


def ready(gateway: InProcessGateway) -> httpx.Response:
    return httpx.get(f"{gateway.base_url}/readyz", trust_env=False, verify=NO_TLS, timeout=30)


def not_ready(gateway: InProcessGateway) -> httpx.Response | None:
    answer = ready(gateway)
    return answer if answer.status_code == 503 else None


def reason(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == 503 and problem["detail"]
    return str(problem["code"])


def test_healthy_gateway_is_alive_and_ready(client: httpx.Client) -> None:
    for path, status in (("/livez", "alive"), ("/readyz", "ready")):
        answer = client.get(path)
        assert answer.status_code == 200 and answer.json() == {"status": status}
        assert answer.headers["cache-control"] == "no-store"
        assert client.head(path).status_code == 200


def test_readyz_reports_a_full_queue_until_there_is_room(
    start_app: Start, picture: Callable[..., bytes]
) -> None:
    gateway = start_app(worker_concurrency=0, max_queued=1)
    with gateway.client() as client:
        job = client.post("/v1/jobs", files={"file": picture(64, 64)}).json()
        answer = until(lambda: not_ready(gateway), what="the full queue is seen")
        assert reason(answer) == "queue-full" and "at most 1" in answer.json()["detail"]
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz?ignore=queue-full").status_code == 200
        assert client.get("/readyz?ignore=disk-full,database-away").status_code == 503
        assert client.get("/readyz?ignore=draining").status_code == 422
        exported = client.get("/metrics").text
        client.delete(f"/v1/jobs/{job['job_id']}")
    assert "artscraper_rejections_total{" not in exported, "probes are not rejections"
    assert 'artscraper_http_requests_total{status="503"}' not in exported
    until(lambda: ready(gateway).status_code == 200, what="there is room again")


def test_readyz_reports_a_nearly_full_disk(start_app: Start) -> None:
    gateway = start_app(worker_concurrency=0, min_free_disk=2**62)
    answer = ready(gateway)
    assert reason(answer) == "disk-full" and "free" in answer.json()["detail"]
    assert str(gateway.home) not in answer.text  # no path of the server


def test_sigterm_fails_readiness_while_requests_are_answered(start_gateway: Start) -> None:
    gateway = start_gateway(worker_concurrency=0, drain_notice=600)
    assert ready(gateway).status_code == 200
    os.kill(gateway.pid, signal.SIGTERM)
    answer = until(lambda: not_ready(gateway), what="draining is reported")
    assert reason(answer) == "draining"
    with gateway.client() as client:
        assert client.get("/v1/jobs").status_code == 200
        assert client.get("/livez").status_code == 200


def test_second_signal_ends_process_and_workers(
    start_gateway: Start, picture: Callable[..., bytes]
) -> None:
    gateway = start_gateway(with_stages_for_tests=True, drain_notice=600, drain_timeout=600)
    with gateway.client() as client:
        data = {"include_hash_analysis": "0", "stages": "gate"}
        files = {"file": picture(GATE_WIDTH)}
        job = client.post("/v1/jobs", files=files, data=data).json()["job_id"]
        until((gateway.home / "gate-entered").exists, what="the job runs")
        workers = gateway.workers()
        os.kill(gateway.pid, signal.SIGTERM)
        until(lambda: not_ready(gateway), what="it drains")
        assert client.get(f"/v1/jobs/{job}").json()["status"] == "running"
    assert gateway.stop() < 60
    assert not any(each.is_running() for each in workers)


def test_requests_are_answered_while_the_workers_drain(
    start_gateway: Start, picture: Callable[..., bytes]
) -> None:
    gateway = start_gateway(with_stages_for_tests=True)
    with gateway.client() as client:
        data = {"include_hash_analysis": "0", "stages": "gate", "include_protection": "1"}
        files = {"file": picture(GATE_WIDTH)}
        job = client.post("/v1/jobs", files=files, data=data).json()["job_id"]
        until((gateway.home / "gate-entered").exists, what="the job runs")
        os.kill(gateway.pid, signal.SIGTERM)
        until(lambda: not_ready(gateway), what="it drains")
        assert client.get(f"/v1/jobs/{job}").json()["status"] == "running"
        assert client.post("/v1/jobs", files={"file": picture(64)}).status_code == 200
        (gateway.home / "gate-open").touch()
        until(
            lambda: client.get(f"/v1/jobs/{job}").json()["status"] == "done",
            what="the job ends while the port is open",
        )


@pytest.mark.anyio
async def test_readyz_reports_an_unavailable_database(tmp_path: Path) -> None:
    config = GatewayConfig(base_dir=tmp_path / "jobs", output_parent=tmp_path / "out")
    engine = open_engine(config)
    await Readiness(config, engine, StorageHealth(config, Storage(config))).check()
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE jobs"))
    with pytest.raises(DatabaseAway):
        await Readiness(config, engine, StorageHealth(config, Storage(config))).check()
    engine.dispose()


@pytest.mark.anyio
async def test_readyz_reports_a_worker_that_hangs(tmp_path: Path) -> None:
    config = GatewayConfig(base_dir=tmp_path / "jobs", output_parent=tmp_path / "out")
    engine, health = open_engine(config), StorageHealth(config, Storage(config))
    hung = Readiness(config, engine, health, lambda: "the worker of slot 0 hung")
    with pytest.raises(WorkersDown, match="slot 0 hung"):
        await hung.check()
    await hung.check(ignored=["workers-down"])
    engine.dispose()


@pytest.mark.anyio
async def test_readyz_reports_an_unreachable_folder_but_not_a_missing_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    config = GatewayConfig(base_dir=tmp_path / "jobs", output_parent=tmp_path / "not-yet")
    engine = open_engine(config)
    await Readiness(config, engine, StorageHealth(config, Storage(config))).check()
    config = GatewayConfig(base_dir=tmp_path / "jobs", output_parent=tmp_path / "file" / "below")
    with pytest.raises(StorageFailed, match="Not a directory"):
        await Readiness(config, engine, StorageHealth(config, Storage(config))).check()
    engine.dispose()


def test_readyz_needs_no_key_and_queries_the_database_once_a_second(tmp_path: Path) -> None:
    config = GatewayConfig(base_dir=tmp_path / "jobs", output_parent=tmp_path)
    engine = open_engine(config)
    queries: list[str] = []
    sa.event.listen(
        _readers[engine], "before_cursor_execute", lambda *given: queries.append(given[2])
    )

    async def ask_often() -> None:
        readiness = Readiness(config, engine, StorageHealth(config, Storage(config)))
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(readiness.check)

    anyio.run(ask_often)
    engine.dispose()
    assert len(queries) == 1


def test_metrics_need_admin_scope(start_app: Start) -> None:
    gateway = start_app(worker_concurrency=0)
    with gateway.client() as client:
        assert client.get("/metrics").status_code == 200
        reader = added(gateway.home, "reader", "--scope", "read,submit,delete")
        admin = added(gateway.home, "admin", "--scope", "admin")
        until(lambda: client.get("/metrics").status_code == 401, what="a key is needed")
        assert client.get("/metrics", headers=reader).status_code == 403
        assert client.get("/metrics", headers=admin).status_code == 200
        assert client.get("/livez").status_code == client.get("/readyz").status_code == 200


def test_metrics_need_their_key_during_database_outage(
    start_app: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = start_app(worker_concurrency=0)

    def is_away(_store: KeyStore) -> None:
        raise sa.exc.OperationalError("", {}, Exception("the database is away"))

    monkeypatch.setattr(key_module, "_FRESH_S", 0.0)
    with gateway.client() as client:
        with monkeypatch.context() as outage:
            outage.setattr(KeyStore, "all", is_away)
            assert client.get("/metrics").status_code == 200, "the first request of the process"
        admin = added(gateway.home, "admin", "--scope", "admin")
        assert client.get("/metrics").status_code == 401
        monkeypatch.setattr(KeyStore, "all", is_away)
        assert client.get("/metrics", headers=admin).status_code == 200
        assert client.get("/metrics").status_code == 401


def test_open_metrics_needs_no_key(start_app: Start) -> None:
    gateway = start_app(worker_concurrency=0, open_metrics="yes")
    added(gateway.home, "reader")
    with gateway.client() as client:
        until(lambda: client.get("/v1/jobs").status_code == 401, what="a key is needed")
        assert client.get("/metrics").status_code == 200


def test_locked_database_does_not_delay_readiness(start_app: Start) -> None:
    gateway = start_app(worker_concurrency=0)
    with sqlite3.connect(gateway.base_dir / "gateway.sqlite3") as other:
        other.execute("BEGIN EXCLUSIVE")  # readers go on beside one writer
        with gateway.client() as client:
            started = time.monotonic()
            while time.monotonic() - started < LONGER_THAN_A_LOOK_S:
                assert ready(gateway).status_code == 200
                assert client.get("/v1/jobs").status_code == 200
