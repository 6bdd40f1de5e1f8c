"""Thousands of finished jobs cost neither time nor memory: nothing that is asked looks at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from artscraper_gateway.db.engine import open_engine, reading
from artscraper_gateway.jobs.listing import JobListing
from artscraper_gateway.jobs.models import NewJob, Outcome
from artscraper_gateway.jobs.queue import JobQueue, QueueQuota
from artscraper_gateway.jobs.repository import JobStore, revisions
from artscraper_gateway.jobs.request import JobRequest
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import GatewayProcess
from artscraper_gateway.tests.test_contract import LIGHT, submit
from artscraper_gateway.webhooks.repository import DeliveryLog

FINISHED = 3000
REQUEST = JobRequest()
GROWTH_BYTES = 8 << 20


def fill(config: GatewayConfig, count: int) -> sa.Engine:
    """Add jobs that have ended, as workers leave them."""
    engine = open_engine(config)
    store = JobStore(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("insert into workers (id, name, beats) values ('w', 'w', 0)")
        for number in range(count):
            store.add(connection, NewJob(f"{number:032x}", "image.png", REQUEST, "passthrough"))
        connection.exec_driver_sql("update jobs set worker = 'w', status = 'running'")
    for number in range(0, count, 10):
        outcome = Outcome(f"{number:032x}", None, None)
        assert store.finish(outcome, worker="w")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "update jobs set status = 'done', worker = null, finished_at = submitted_at"
            " where status = 'running'"
        )
        connection.exec_driver_sql("analyze")
    return engine


@contextmanager
def plans(engine: sa.Engine) -> Iterator[list[str]]:
    """Collect how SQLite carries out every statement about jobs and deliveries."""
    found: list[str] = []

    def explain(_: Any, cursor: Any, statement: str, values: Any, *__: Any) -> None:
        if re.match(r"(SELECT|UPDATE|DELETE)\b", statement) and re.search(
            "jobs|deliveries", statement
        ):
            rows = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
            found.extend(f"{row[3]}   <- {statement[:200]}" for row in rows)

    with reading(engine) as connection:  # SQLite is read through an engine of its own
        engines = {engine, connection.engine}
    for each in engines:
        sa.event.listen(each, "before_cursor_execute", explain)
    yield found
    for each in engines:
        sa.event.remove(each, "before_cursor_execute", explain)


_READS_ALL = r"SCAN (jobs|deliveries)\b|USE TEMP B-TREE"


def test_frequent_queries_never_scan_the_table(tmp_path: Path) -> None:
    engine = fill(GatewayConfig(base_dir=tmp_path / "jobs"), 500)
    store, listing = JobStore(engine), JobListing(engine)
    queue = JobQueue(store)
    with plans(engine) as found:
        queue.submit(NewJob("f" * 32, "image.png", REQUEST, "passthrough"), QueueQuota("", 10, 10))
        listing.show("f" * 32)
        page = listing.page(owner="", status=None, size=50, token=None)
        listing.page(owner="", status=None, size=50, token=page.next_token)
        listing.page(owner=None, status=None, size=50, token=page.next_token)
        store.begin_stage("f" * 32, "original", worker="w")
        store.report_progress("f" * 32, 0.5, worker="w")
        store.finish(Outcome("f" * 32, None, None), worker="w")
        store.is_wanted("f" * 32, worker="w")
        log = DeliveryLog(engine)
        log.claim_due(now=0, until=1, at_most=10, of_each=5, held={"example.org": 5})
        log.restart_waits(now=0)
        with engine.connect() as connection:
            revisions(connection, ["f" * 32, "0" * 32])
    queue.close()
    engine.dispose()
    assert len(found) >= 10, "the statements were seen"
    assert not [plan for plan in found if re.match(_READS_ALL, plan)]


def test_finished_jobs_do_not_grow_memory(
    start_gateway: Callable[..., GatewayProcess],
    tmp_path: Path,
    picture: Callable[..., bytes],
) -> None:
    fill(GatewayConfig(base_dir=tmp_path / "gateway_jobs"), FINISHED).dispose()
    gateway = start_gateway(tmp_path)
    content = picture(64, 64)
    with gateway.client() as client:

        def use() -> int:
            for number in range(50):
                assert client.get(f"/v1/jobs/{number:032x}").json()["status"] == "done"
            seen, params = 0, {"page_size": 1000}
            while True:
                page = client.get("/v1/jobs", params=params).json()
                seen += len(page["jobs"])
                if page["next_page_token"] is None:
                    break
                params["page_token"] = page["next_page_token"]
            assert seen >= FINISHED
            assert submit(client, content, **LIGHT)["status"] == "done"
            return int(psutil.Process(gateway.pid).memory_full_info().uss)

        use()
        before = use()
        after = max(use() for _ in range(4))
    assert after - before < GROWTH_BYTES
