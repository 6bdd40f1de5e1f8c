"""Submit many pictures at once, ask how they stand, fetch all their files, delete them."""

from __future__ import annotations

from collections import Counter
from typing import get_args

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from artscraper_gateway.api.authentication import Deleter, Reader, Submitter
from artscraper_gateway.api.context import Gateway
from artscraper_gateway.api.forms import parse_batch
from artscraper_gateway.api.openapi import ARCHIVE, BATCH_BODY, IDEMPOTENCY_KEY
from artscraper_gateway.api.openapi_problems import SUBMISSION, problems
from artscraper_gateway.api.routes.archive import zip_response
from artscraper_gateway.api.schemas import BatchDeleted, BatchState, JobState, RefusedItem, moment
from artscraper_gateway.errors import NotFound, NotReady
from artscraper_gateway.jobs.batches import Batch
from artscraper_gateway.jobs.idempotency import checked_key
from artscraper_gateway.jobs.models import Status
from artscraper_gateway.storage.paths import is_job_id

router = APIRouter(prefix="/v1/batches", tags=["batches"])


@router.post(
    "",
    openapi_extra={**BATCH_BODY, "parameters": [IDEMPOTENCY_KEY]},
    responses=problems(*SUBMISSION),
)
async def submit_batch(request: Request, response: Response, used: Submitter) -> BatchState:
    """Accepts 1 to 100 pictures and returns their batch: a job each, all of them or none.

    Pictures that are refused are listed, and do not stop the others.
    """
    key = checked_key(request.headers.get("idempotency-key"))
    async with parse_batch(request, used.config) as offers:
        batch = await used.batches.accept(offers, used.quota, key=key)
    response.headers["Location"] = request.url_for("get_batch", batch_id=batch.id).path
    return _state(batch, used)


@router.get("/{batch_id}", responses=problems(NotFound))
def get_batch(batch_id: str, used: Reader) -> BatchState:
    """Returns how the batch and each of its jobs stand."""
    return _state(_batch(batch_id, used), used)


def _state(batch: Batch, used: Gateway) -> BatchState:
    counts = Counter(job.status for job in batch.jobs)
    return BatchState(
        batch_id=batch.id,
        status=batch.status,
        submitted_at=moment(batch.submitted_at),
        counts={status: counts[status] for status in get_args(Status)},
        jobs=[JobState.of(job, ttl_s=used.config.job_ttl) for job in batch.jobs],
        refused=[RefusedItem(**row) for row in batch.refused],
    )


@router.delete("/{batch_id}", responses=problems(NotFound))
async def delete_batch(batch_id: str, used: Deleter) -> BatchDeleted:
    """Deletes the batch's jobs with all their files; those that run are cancelled first."""

    def delete() -> None:
        used.deletion.delete_all([job.id for job in _batch(batch_id, used).jobs])
        used.batches.forget(batch_id)

    await run_sync(delete, limiter=used.deletion.threads)
    return BatchDeleted(batch_id=batch_id, status="deleted")


@router.get(
    "/{batch_id}/archive.zip",
    response_class=StreamingResponse,
    responses={**ARCHIVE, **problems(NotFound, NotReady)},
)
def get_batch_archive(batch_id: str, used: Reader) -> StreamingResponse:
    """Returns all files of the batch's jobs that are done, a folder each, streamed."""
    batch = _batch(batch_id, used)
    if not batch.is_finished:
        raise NotReady(
            "Some jobs of the batch have not ended; ask again in a moment.",
            headers={"Retry-After": "1"},
        )
    done = [(f"{job.batch_index:03d}-{job.id}", job) for job in batch.jobs if job.status == "done"]
    return zip_response(used, done, filename=f"{batch.id}.zip")


def _batch(batch_id: str, used: Gateway) -> Batch:
    batch = used.batches.find(batch_id) if is_job_id(batch_id) else None
    if batch is None or not used.may_see(batch.owner):
        raise NotFound("There is no batch of this id.")
    return batch
