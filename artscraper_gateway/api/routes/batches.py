"""Submit many pictures at once, read their states, fetch all their files, delete them."""

from __future__ import annotations

from collections import Counter

from anyio.to_thread import run_sync
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from artscraper_gateway.api.authentication import DeleteJobs, ReadJobs, SubmitJobs, consume_jobs
from artscraper_gateway.api.context import BatchService, CallerJobs, Deletions
from artscraper_gateway.api.forms import idempotency_key, parse_batch
from artscraper_gateway.api.openapi import ARCHIVE, BATCH_BODY, IDEMPOTENCY_KEY
from artscraper_gateway.api.openapi_problems import SUBMISSION, problems
from artscraper_gateway.api.routes.results import zip_response
from artscraper_gateway.api.routes.router import ReadableRouter
from artscraper_gateway.api.schemas import BatchDeleted, BatchState, RefusedItem
from artscraper_gateway.errors import NotFound, NotReady
from artscraper_gateway.jobs.batches import Batch, Batches
from artscraper_gateway.jobs.models import STATUSES
from artscraper_gateway.storage.paths import is_job_id

router = ReadableRouter(prefix="/v1/batches", tags=["batches"])


@router.post(
    "",
    openapi_extra={**BATCH_BODY, "parameters": [IDEMPOTENCY_KEY]},
    responses=problems(*SUBMISSION),
)
async def submit_batch(
    request: Request, response: Response, jobs: SubmitJobs, batches: BatchService
) -> BatchState:
    """Accept 1 to 100 pictures and return their batch: a job each, all of them or none.

    Refused pictures are listed, and do not stop the others.
    """
    key = idempotency_key(request)
    async with parse_batch(request, jobs.config) as pictures:
        await consume_jobs(request, len(pictures) - 1)
        batch = await batches.accept(pictures, jobs.quota, key=key)
    response.headers["Location"] = jobs.urls.batch(batch.id)
    return _state(batch, jobs)


@router.get("/{batch_id}", responses=problems(NotFound))
def get_batch(batch_id: str, jobs: ReadJobs, batches: BatchService) -> BatchState:
    """Return the state of the batch and of each of its jobs."""
    return _state(_find(batch_id, jobs, batches), jobs)


def _state(batch: Batch, jobs: CallerJobs) -> BatchState:
    counts = Counter(job.status for job in batch.jobs)
    return BatchState(
        batch_id=batch.id,
        status=batch.status,
        submitted_at=batch.submitted_at,
        counts={status: counts[status] for status in STATUSES},
        jobs=[jobs.describe(job) for job in batch.jobs],
        refused=[RefusedItem(**row) for row in batch.refused],
    )


@router.delete("/{batch_id}", responses=problems(NotFound))
async def delete_batch(
    batch_id: str, jobs: DeleteJobs, batches: BatchService, deletion: Deletions
) -> BatchDeleted:
    """Delete the batch's jobs with all their files; running ones are cancelled first."""

    def delete() -> None:
        deletion.delete_all([job.id for job in _find(batch_id, jobs, batches).jobs])
        batches.forget(batch_id)

    await run_sync(delete, limiter=deletion.threads)
    return BatchDeleted(batch_id=batch_id, status="deleted")


@router.get(
    "/{batch_id}/archive.zip",
    response_class=StreamingResponse,
    responses={**ARCHIVE, **problems(NotFound, NotReady)},
)
def get_batch_archive(
    batch_id: str, request: Request, jobs: ReadJobs, batches: BatchService
) -> Response:
    """Return all files of the batch's jobs that are done, a folder each, streamed."""
    batch = _find(batch_id, jobs, batches)
    if not batch.is_finished:
        raise NotReady(
            "Some jobs of the batch have not ended; try again in a moment.",
            headers={"Retry-After": "1"},
        )
    done = [(f"{job.batch_index:03d}-{job.id}", job) for job in batch.jobs if job.status == "done"]
    return zip_response(request, jobs, done, filename=f"{batch.id}.zip")


def _find(batch_id: str, jobs: CallerJobs, batches: Batches) -> Batch:
    batch = batches.find(batch_id) if is_job_id(batch_id) else None
    if batch is None or not jobs.may_see(batch.owner):
        raise NotFound("There is no batch with this id.")
    return batch
