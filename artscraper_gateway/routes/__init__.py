"""The HTTP edge: routes, and how problems are answered."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from artscraper_gateway.config import GatewayConfig
from artscraper_gateway.deletion import Deletion
from artscraper_gateway.errors import JobFailed, NotFound, NotReady
from artscraper_gateway.storage import Storage
from artscraper_gateway.store import Job, JobStore
from artscraper_gateway.submission import Submission
from artscraper_gateway.watermark_reader import WatermarkReader


@dataclass(frozen=True)
class Gateway:
    """What the routes of one app work with; made at its start, kept in `app.state.gateway`."""

    config: GatewayConfig
    store: JobStore
    submission: Submission
    deletion: Deletion
    reader: WatermarkReader
    storage: Storage

    def job(self, job_id: str) -> Job:
        """Returns the job. Raises NotFound when there is none."""
        job = self.store.find(job_id)
        if job is None:
            raise NotFound("There is no job of this id.")
        return job

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


async def gateway(request: Request) -> Gateway:
    """Returns the gateway of the app that the request came to; a FastAPI dependency.

    A coroutine, because FastAPI would call a plain function in a thread.
    """
    found: Gateway = request.app.state.gateway
    return found
