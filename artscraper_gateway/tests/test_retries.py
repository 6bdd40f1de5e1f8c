"""Many jobs run again by a filter, each once."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest
import sqlalchemy as sa
from PIL import Image

from artscraper_gateway.db.tables import jobs
from artscraper_gateway.jobs.listing import JobListing
from artscraper_gateway.jobs.queue import QueueQuota
from artscraper_gateway.jobs.retries import Retries, RetryFilter, RetryResult
from artscraper_gateway.jobs.submission import Submission
from artscraper_gateway.observability.metrics import Metrics
from artscraper_gateway.observability.tracing import Tracing
from artscraper_gateway.storage.base import Storage, StorageHealth
from artscraper_gateway.storage.paths import JobFolders
from artscraper_gateway.tests.test_retention import House

FULL = "the gateway could not store the results: No space left on device"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """Four failed jobs, of which two for want of room; the last one belongs to ada."""
    with closing(House(tmp_path, max_queued=10)) as house:
        picture = io.BytesIO()
        Image.new("RGB", (64, 64)).save(picture, "PNG")
        for number, error in enumerate((FULL, "it broke", FULL, "it broke"), start=1):
            job_id = house.add(number, owner="ada" if number == 4 else "")
            folder = JobFolders.of(job_id, house.config).input
            (folder / "image.png").write_bytes(picture.getvalue())
            with house.engine.begin() as connection:
                change = {"error": error, "error_code": "failed", "finished_at": float(number)}
                connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(change))
        yield house


def retry(
    home: House, owner: str | None = "", quota: QueueQuota | None = None, **wanted: object
) -> RetryResult:
    storage = Storage(home.config)
    submission = Submission(
        home.config,
        home.queue,
        storage,
        StorageHealth(home.config, storage),
        JobListing(home.engine),
        Metrics(home.config, "web"),
        Tracing(),
    )

    async def run() -> RetryResult:
        retries = Retries(submission)
        return await retries.retry_matching(
            RetryFilter.model_validate(wanted), quota or QueueQuota(), owner=owner
        )

    return anyio.run(run)


def ids(*numbers: int) -> set[str]:
    return {f"{number:032x}" for number in numbers}


def test_retry_selects_matching_jobs_and_is_idempotent(home: House) -> None:
    first = retry(home, error_contains="No space")
    assert first.accepted.keys() == ids(1, 3) and not first.refused and not first.has_more
    assert {view.job.status for view in first.accepted.values()} == {"queued"}
    again = retry(home, error_contains="No space")
    assert {old: view.job.id for old, view in again.accepted.items()} == {
        old: view.job.id for old, view in first.accepted.items()
    }


def test_retry_is_limited_to_own_jobs_unless_admin(home: House) -> None:
    assert retry(home, owner="ada").accepted.keys() == ids(4)
    everything = retry(home, owner=None)
    assert everything.accepted.keys() == ids(1, 2, 3, 4)
    assert everything.accepted[f"{4:032x}"].job.owner == "ada"


def test_retry_stops_at_its_limit_and_at_a_full_queue(home: House) -> None:
    limited = retry(home, limit=2)
    assert limited.accepted.keys() == ids(1, 2) and limited.has_more
    full = retry(home, quota=QueueQuota(max_queued=2))
    assert full.accepted.keys() == ids(1, 2) and full.has_more


def test_retry_lists_jobs_without_picture(home: House) -> None:
    (JobFolders.of(f"{2:032x}", home.config).input / "image.png").unlink()
    result = retry(home, error_contains="it broke")
    assert result.accepted == {}
    assert {job_id: error.code for job_id, error in result.refused.items()} == {
        f"{2:032x}": "not-found"
    }
