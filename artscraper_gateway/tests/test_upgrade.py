"""A base_dir of release 0.1 keeps its jobs: those that ended, and those that wait."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.jobs.queue import PASSTHROUGH, JobQueue
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import until
from artscraper_gateway.tests.support.in_process import InProcessGateway

# Dump of a database with schema 0007, the last one with a second queue: a job that is done, one
# that waits as a workflow, and one that waits without, since it only stores its picture.
DUMP = Path(__file__).parent / "data" / "database_0007.sql"
DONE, WAITING, STORING = (letter * 32 for letter in "abc")


@pytest.fixture
def base_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "gateway_jobs"
    for job_id in (DONE, WAITING, STORING):
        (folder / job_id / "input").mkdir(parents=True)
        picture = io.BytesIO()
        Image.new("RGB", (64, 64), (90, 120, 60)).save(picture, "PNG")
        (folder / job_id / "input" / "image.png").write_bytes(picture.getvalue())
    with closing(sqlite3.connect(folder / "gateway.sqlite3")) as database:
        database.executescript(DUMP.read_text())
    return folder


def test_requests_and_queues_of_the_old_schema_are_read(base_dir: Path) -> None:
    engine = open_engine(GatewayConfig(base_dir=base_dir))
    store = JobStore(engine)
    done, storing = store.find(DONE), store.find(STORING)
    assert done is not None and done.request.watermark_text == "by Ada"
    assert done.request.stages == ("invisible-watermark",) and done.request.stages_explicit
    assert storing is not None and storing.queue == PASSTHROUGH
    assert not storing.request.needs_pipeline
    queue = JobQueue(store)
    assert queue.enqueue_missing() == 1
    assert queue.enqueue_missing() == 0
    queue.close()
    engine.dispose()


def test_queued_jobs_of_the_old_schema_are_run(
    base_dir: Path, start_app: Callable[..., InProcessGateway]
) -> None:
    gateway = start_app(base_dir.parent)
    with gateway.client() as client:
        for job_id in (WAITING, STORING):
            until(
                lambda job_id=job_id: client.get(f"/v1/jobs/{job_id}").json()["status"] == "done",
                what=f"{job_id} is done",
            )
        analysis = client.get(f"/v1/jobs/{WAITING}/result").json()["analysis"]
        assert [each["name"] for each in analysis["processors"]] == ["dhash"]
        assert client.get(f"/v1/jobs/{DONE}").json()["status"] == "done"
        assert client.delete(f"/v1/jobs/{DONE}").status_code == 200
