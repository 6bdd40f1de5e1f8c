"""The HTTP edge: routes, and how problems are answered."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artscraper_gateway.api.schemas import JobState
from artscraper_gateway.auth.keys import Keyring
from artscraper_gateway.errors import JobFailed, NotFound, NotReady
from artscraper_gateway.jobs.batches import Batches
from artscraper_gateway.jobs.deletion import Deletion
from artscraper_gateway.jobs.listing import JobListing, JobView
from artscraper_gateway.jobs.models import Job
from artscraper_gateway.jobs.queue import JobQueue, QueueQuota
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.jobs.submission import Submission
from artscraper_gateway.jobs.watcher import JobWatch
from artscraper_gateway.observability.metrics import Recorder
from artscraper_gateway.observability.prometheus import Exposition
from artscraper_gateway.observability.readiness import Readiness
from artscraper_gateway.sandbox.previews import Previews
from artscraper_gateway.sandbox.watermarks import WatermarkReader
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import SUMMARY, Storage
from artscraper_gateway.storage.paths import is_job_id
from artscraper_gateway.webhooks.repository import DeliveryLog


@dataclass(frozen=True)
class Caller:
    """Who calls. `owner` is their API key's id, "" where none is needed."""

    owner: str = ""
    sees_all: bool = False
    max_queued: int | None = None
    max_priority: int | None = None


@dataclass(frozen=True)
class Gateway:
    """What the routes of one app work with; made at its start, kept in `app.state.gateway`.

    A route gets a copy of it for its `caller`; to others' jobs it says what it says to unknown
    ones.
    """

    config: GatewayConfig
    store: JobStore
    queue: JobQueue
    listing: JobListing
    watch: JobWatch
    submission: Submission
    batches: Batches
    deletion: Deletion
    deliveries: DeliveryLog
    keyring: Keyring
    reader: WatermarkReader
    previews: Previews
    storage: Storage
    recorder: Recorder
    readiness: Readiness
    exposition: Exposition
    caller: Caller = Caller()

    @property
    def quota(self) -> QueueQuota:
        """The limits on the caller's jobs."""
        caller = self.caller
        return QueueQuota(
            caller.owner, self.config.max_queued, caller.max_queued, caller.max_priority
        )

    def may_see(self, owner: str) -> bool:
        """Whether the caller may know of what belongs to `owner`."""
        return self.caller.sees_all or owner == self.caller.owner

    def job(self, job_id: str) -> Job:
        """Returns the job. Raises NotFound when there is none, or it is somebody else's."""
        job = self.store.find(job_id) if is_job_id(job_id) else None
        if job is None or not self.may_see(job.owner):
            raise NotFound("There is no job of this id.")
        return job

    def state(self, job_id: str) -> JobState:
        """Returns how the job stands; raises as `job`."""
        shown = self.listing.show(job_id) if is_job_id(job_id) else None
        if shown is None or not self.may_see(shown.job.owner):
            raise NotFound("There is no job of this id.")
        return self.shown(shown)

    def shown(self, shown: JobView) -> JobState:
        """Returns what callers may know of a job."""
        ttl_s = self.config.job_ttl
        return JobState.of(shown.job, queue_position=shown.queue_position, ttl_s=ttl_s)

    def finished_job(self, job_id: str) -> Job:
        """Returns the job if it has a result.

        Raises:
            NotFound: there is no such job.
            NotReady: it has not finished.
            JobFailed: it ended in error.
        """
        job = self.job(job_id)
        if job.status == "error":
            raise JobFailed(f"The job failed: {job.error}")
        if not job.is_finished:
            raise NotReady(
                f"The job is {job.status}; ask again in a moment.", headers={"Retry-After": "1"}
            )
        return job

    def results(self, job: Job) -> Path:
        """Returns the folder on this machine with what the finished job produced, whole. Blocks.

        Raises:
            NotFound: it is gone from where it is kept.
        """
        with suppress(FileNotFoundError):
            folder = self.storage.output(job.id)
            if (folder / SUMMARY).is_file():
                return folder
        raise NotFound("The job's results are no longer on the server's disk.")

    def summary(self, job: Job) -> dict[str, Any]:
        """Returns the summary of what the finished job produced; raises as `results`."""
        return read_json(self.results(job) / SUMMARY)


def read_json(path: Path) -> dict[str, Any]:
    """Returns what the file holds. Raises NotFound when it is gone."""
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise NotFound("The job's results are no longer on the server's disk.") from error
    return content
