"""Retention: expired jobs, jobs beyond the disk limit, and stale records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dbos import DBOSClient
from dbos import DBOSPortableJSONSerializer as JSONSerializer

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.jobs.deletion import Deletion
from artscraper_gateway.jobs.models import NewJob
from artscraper_gateway.jobs.queue import APPLICATION, JobQueue, NewBatch, QueueQuota
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.jobs.request import JobRequest
from artscraper_gateway.jobs.retention import SCHEDULE, Retention
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import Storage
from artscraper_gateway.storage.paths import JobFolders
from artscraper_gateway.tests.gateway_process import GatewayProcess, until
from artscraper_gateway.tests.test_contract import LIGHT, submit

Start = Callable[..., GatewayProcess]
Picture = Callable[..., bytes]
REQUEST = JobRequest()


class House:
    """A database with jobs and files, and its retention, whose clock a test sets."""

    def __init__(self, home: Path, **settings: Any) -> None:
        places = {"base_dir": home / "gateway_jobs", "output_parent": home / "outputs"}
        self.config = GatewayConfig(**{**places, **settings})
        self.engine = open_engine(self.config)
        self.store = JobStore(self.engine)
        self.queue = JobQueue(self.store)
        self.ahead_s = 0.0
        deletion = Deletion(self.config, self.store, self.queue, Storage(self.config))
        self.retention = Retention(
            self.config, deletion, self.queue, self.engine, lambda: time.time() + self.ahead_s
        )

    def add(self, number: int, *, ended: bool = True, size: int = 1000, **values: Any) -> str:
        job_id = f"{number:032x}"
        new = NewJob(job_id, "image.png", REQUEST, "heavy", disk_bytes=size, **values)
        self.queue.submit(new, QueueQuota())
        folders = JobFolders.of(job_id, self.config)
        folders.input.mkdir(parents=True)
        (folders.input / "image.png").write_bytes(b"x" * size)
        if ended:
            self.store.cancel(job_id)
            self.queue.cancel(job_id)
        return job_id

    def close(self) -> None:
        self.queue.close()
        self.engine.dispose()

    def left(self) -> list[int]:
        with self.engine.connect() as connection:
            ids = connection.execute(sa.text("select id from jobs order by id")).scalars()
            found = [int(job_id, 16) for job_id in ids]
        folders = sorted(int(p.name, 16) for p in self.config.base_dir.iterdir() if p.is_dir())
        assert found == folders, "rows and files go together"
        return found

    def count(self, table: str) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(sa.text(f"select count(*) from {table}")).scalar_one())


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def make(**settings: Any) -> House:
        made.append(House(tmp_path, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_retention_removes_nothing_by_default(house: Callable[..., House]) -> None:
    home = house()
    home.add(1)
    home.ahead_s = 10 * 365 * 86_400
    home.retention.run_once()
    assert home.left() == [1]


def test_finished_jobs_expire(house: Callable[..., House]) -> None:
    home = house(job_ttl=3600)
    for number in range(1, 4):
        home.add(number)
    home.add(4, ended=False)
    home.ahead_s = 3590
    home.retention.run_once()
    assert home.left() == [1, 2, 3, 4]
    home.ahead_s = 3610
    home.retention.run_once()
    assert home.left() == [4], "one that waits stays, however old"
    assert home.count("workflow_status") == 1 and home.count("events") == 0


def test_retention_removes_the_oldest_finished_jobs(house: Callable[..., House]) -> None:
    home = house(max_disk=3500)
    home.add(9, ended=False)
    for number in range(1, 6):
        home.add(number)
    home.retention.run_once()
    assert home.left() == [4, 5, 9]
    home.retention.run_once()
    assert home.left() == [4, 5, 9]


def test_retention_keeps_open_jobs(house: Callable[..., House]) -> None:
    home = house(max_disk=1)
    home.add(1, ended=False)
    home.add(2)
    home.retention.run_once()
    assert home.left() == [1]


def test_retention_removes_workflow_records(house: Callable[..., House]) -> None:
    home = house()
    for number in range(450):
        home.add(number)
    home.add(1000, ended=False)
    home.retention.run_once()
    assert home.count("workflow_status") == 451, "they were asked for a moment ago"
    home.ahead_s = 700
    home.retention.run_once()
    assert home.count("workflow_status") == 1
    assert home.count("jobs") == 451


def test_batches_and_idempotency_keys_expire_after_a_day(house: Callable[..., House]) -> None:
    home = house(job_ttl=60)
    now = time.time()
    for name, number in (("empty", None), ("used", 1)):
        new = []
        if number is not None:
            new = [NewJob(f"{number:032x}", "a", REQUEST, "passthrough", batch_id=name)]
            JobFolders.of(new[0].id, home.config).input.mkdir(parents=True)
        home.queue.submit_batch(NewBatch(name, now, []), new, QueueQuota())
    with home.engine.begin() as connection:
        connection.execute(
            sa.text("insert into idempotency_keys values ('', 'k', 'f', 'used', :now)"),
            {"now": now},
        )
    home.ahead_s = 86_000
    home.retention.run_once()
    assert (home.count("batches"), home.count("idempotency_keys")) == (2, 1)
    home.ahead_s = 86_500
    home.retention.run_once()
    assert (home.count("batches"), home.count("idempotency_keys")) == (1, 0)


def test_retention_runs_as_scheduled_workflow(start_app: Start, picture: Picture) -> None:
    gateway = start_app(job_ttl=0.5)
    with gateway.client() as client:
        job = submit(client, picture(64, 64), **LIGHT)
        assert job["expires_at"] > job["finished_at"]
        ended = datetime.fromisoformat(job["finished_at"]).timestamp()
        queue = DBOSClient(
            system_database_url=f"sqlite:///{gateway.base_dir / 'gateway.sqlite3'}",
            application_name=APPLICATION,
            serializer=JSONSerializer(),
        )
        assert [each["schedule_name"] for each in queue.list_schedules()] == [SCHEDULE]
        until(lambda: time.time() > ended + 0.6, what="the job's time is over")
        queue.trigger_schedule(SCHEDULE).get_result()
        queue.destroy()
        assert client.get(f"/v1/jobs/{job['job_id']}").status_code == 404
        assert not (gateway.outputs / job["job_id"]).exists()
