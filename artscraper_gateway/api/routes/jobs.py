"""Submit a job, ask how it stands, fetch its result, cancel it, delete it."""

from __future__ import annotations

import logging
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.exc import SQLAlchemyError

from artscraper_gateway.api.authentication import Deleter, Reader, Submitter
from artscraper_gateway.api.context import Gateway, read_json
from artscraper_gateway.api.forms import parse_submission
from artscraper_gateway.api.openapi import ACCEPTED, IDEMPOTENCY_KEY, PREFER, SUBMIT_BODY
from artscraper_gateway.api.openapi_problems import RESULTS, SUBMISSION, problems
from artscraper_gateway.api.prefer import Preference
from artscraper_gateway.api.schemas import JobDeleted, JobPage, JobResult, JobState
from artscraper_gateway.errors import GatewayError, InvalidRequest, NotFound, TooBusy
from artscraper_gateway.jobs.idempotency import checked_key
from artscraper_gateway.jobs.models import Status
from artscraper_gateway.observability.metrics import JOBS_ENDED

_log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
_PAGE, _LARGEST_PAGE = 50, 1000
Wait = Annotated[
    float, Query(ge=0, le=86_400, description="seconds to wait for the job's end, capped")
]


@router.post(
    "",
    openapi_extra={**SUBMIT_BODY, "parameters": [IDEMPOTENCY_KEY, PREFER]},
    responses={**ACCEPTED, **problems(*SUBMISSION)},
)
async def submit_job(request: Request, response: Response, used: Submitter) -> JobState:
    """Accepts a picture and returns its job, queued.

    `Prefer: respond-async` answers 202 instead of 200, `Prefer: wait=N` waits for the end for up
    to N seconds and answers with the job as it is then. With an `Idempotency-Key` that came with
    the same payload in the last 24 hours the answer is that job again.
    """
    key = checked_key(request.headers.get("idempotency-key"))
    async with parse_submission(request, used.config) as offer:
        accepted = await used.submission.accept(offer, used.quota, key=key)
    state = used.shown(accepted)
    preference = Preference.parse(", ".join(request.headers.getlist("prefer")))
    if preference.wait_s is not None:
        wait_s = min(preference.wait_s, used.config.max_wait)
        try:
            state = await _waited(used, accepted.job.id, request, wait_s)
            response.headers["Preference-Applied"] = f"wait={wait_s:.0f}"
        except (GatewayError, SQLAlchemyError) as error:  # it was accepted all the same
            _log.warning("job %s cannot be waited for: %s", accepted.job.id, error)
    if preference.respond_async and state.finished_at is None:
        response.status_code = 202
        response.headers.append("Preference-Applied", "respond-async")
    response.headers["Location"] = request.url_for("get_job", job_id=state.job_id).path
    return state


@router.get("", responses=problems(InvalidRequest))
def list_jobs(
    used: Reader,
    status: Annotated[Status | None, Query(description="only these")] = None,
    page_size: Annotated[int, Query(ge=1, le=_LARGEST_PAGE)] = _PAGE,
    page_token: Annotated[str | None, Query(max_length=400)] = None,
) -> JobPage:
    """Returns the caller's jobs, newest first, a page at a time."""
    page = used.listing.page(
        owner=None if used.caller.sees_all else used.caller.owner,
        status=status,
        size=page_size,
        token=page_token,
    )
    states = [JobState.of(job, ttl_s=used.config.job_ttl) for job in page.jobs]
    return JobPage(jobs=states, next_page_token=page.next_token)


@router.get("/{job_id}", responses=problems(NotFound, InvalidRequest, TooBusy))
async def get_job(job_id: str, request: Request, used: Reader, wait: Wait = 0) -> JobState:
    """Returns how the job stands; with `wait` when it has ended, or after so many seconds."""
    if wait > 0:
        return await _waited(used, job_id, request, wait)
    return await run_sync(used.state, job_id)


@router.get("/{job_id}/result", responses=problems(*RESULTS))
def get_result(job_id: str, used: Reader) -> JobResult:
    """Returns what a finished job produced."""
    job = used.finished_job(job_id)
    return JobResult(
        job_id=job.id,
        summary=used.summary(job),
        analysis=read_json(used.results(job) / "analysis.json")
        if job.request.include_hash_analysis
        else None,
        output_dir=used.storage.public_output_path(job.id),
    )


@router.post("/{job_id}/cancel", responses=problems(NotFound))
def cancel_job(job_id: str, used: Submitter) -> JobState:
    """Ends the job as error, with the code `cancelled`; one that has ended stays as it is.

    A job that runs stops at its next step, which takes a moment; its upload stays.
    """
    job = used.job(job_id)
    if used.queue.cancel_job(job.id):
        used.recorder.count(JOBS_ENDED, "cancelled")
    return used.state(job_id)


@router.delete("/{job_id}", responses=problems(NotFound))
async def delete_job(job_id: str, used: Deleter) -> JobDeleted:
    """Deletes the job with all its files; one that runs is cancelled first."""

    def delete() -> bool:
        return used.deletion.delete(used.job(job_id).id)

    # Threads of their own: a deletion may wait for a worker, and must not hold up other calls.
    if not await run_sync(delete, limiter=used.deletion.threads):
        raise NotFound("There is no job of this id.")
    return JobDeleted(job_id=job_id, status="deleted")


async def _waited(used: Gateway, job_id: str, request: Request, wait_s: float) -> JobState:
    job = await run_sync(used.job, job_id)
    await used.watch.wait_for_end(
        job, timeout_s=min(wait_s, used.config.max_wait), is_gone=request.is_disconnected
    )
    return await run_sync(used.state, job_id)
