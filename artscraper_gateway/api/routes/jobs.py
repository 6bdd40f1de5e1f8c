"""Submit a job, read its state and result, cancel it, run it again, delete it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError

from artscraper_gateway.api.authentication import DeleteJobs, ReadJobs, SubmitJobs, consume_jobs
from artscraper_gateway.api.context import (
    MEDIA_TYPES,
    CallerJobs,
    Config,
    Counters,
    Deletions,
    Queue,
    Submissions,
    Watch,
    read_json,
)
from artscraper_gateway.api.forms import idempotency_key, parse_submission
from artscraper_gateway.api.openapi import ACCEPTED, IDEMPOTENCY_KEY, PREFER, SUBMIT_BODY
from artscraper_gateway.api.openapi_problems import REPETITION, RESULTS, SUBMISSION, problems
from artscraper_gateway.api.result_schemas import JobResult
from artscraper_gateway.api.routes.router import ReadableRouter
from artscraper_gateway.api.schemas import (
    JobDeleted,
    JobPage,
    JobsRetried,
    JobState,
    RefusedRetry,
    RetriedJob,
)
from artscraper_gateway.errors import GatewayError, InvalidRequest, NotFound, NotReady, TooBusy
from artscraper_gateway.jobs.models import Job, Status
from artscraper_gateway.jobs.retries import Retries, RetryFilter
from artscraper_gateway.jobs.watcher import JobWatch

_log = logging.getLogger(__name__)
router = ReadableRouter(prefix="/v1/jobs", tags=["jobs"])
_PAGE, _LARGEST_PAGE = 50, 1000
Wait = Annotated[
    float, Query(ge=0, le=86_400, description="seconds to wait for the job's end, capped")
]


@dataclass(frozen=True)
class Preference:
    """The `Prefer` header (RFC 7240): `respond-async` and `wait=N`; `wait_s` None if not sent."""

    respond_async: bool = False
    wait_s: float | None = None

    @classmethod
    def of(cls, request: Request) -> Preference:
        """Return the preferences of a request; unreadable ones are ignored."""
        respond_async, wait_s = False, None
        for part in ", ".join(request.headers.getlist("prefer")).split(","):
            name, _, value = part.split(";")[0].strip().partition("=")
            value = value.strip().strip('"')
            if name.strip().lower() == "respond-async":
                respond_async = True
            elif name.strip().lower() == "wait" and value.isascii() and value.isdigit():
                wait_s = float(value[:9])
        return cls(respond_async, wait_s)


@router.post(
    "",
    openapi_extra={**SUBMIT_BODY, "parameters": [IDEMPOTENCY_KEY, PREFER]},
    responses={**ACCEPTED, **problems(*SUBMISSION)},
)
async def submit_job(
    request: Request,
    response: Response,
    jobs: SubmitJobs,
    submission: Submissions,
    watch: Watch,
) -> JobState:
    """Accept a picture and return its job, queued.

    `Prefer: respond-async` answers 202 instead of 200, `Prefer: wait=N` waits for the end for up
    to N seconds and answers with the job's state then. An `Idempotency-Key` that came with the
    same payload in the last 24 hours returns the same job again.
    """
    key = idempotency_key(request)
    async with parse_submission(request, jobs.config) as picture:
        accepted = await submission.accept(picture, jobs.quota, key=key)
    state = await run_sync(jobs.view, accepted)
    preference = Preference.of(request)
    if preference.wait_s is not None:
        wait_s = min(preference.wait_s, jobs.config.max_wait)
        try:
            state = await wait_for_end(jobs, watch, accepted.job.id, request, wait_s)
            response.headers["Preference-Applied"] = f"wait={wait_s:.0f}"
        except (GatewayError, SQLAlchemyError) as error:  # the job was accepted all the same
            _log.warning("waiting for job %s failed: %s", accepted.job.id, error)
    if preference.respond_async and state.finished_at is None:
        response.status_code = 202
        response.headers.append("Preference-Applied", "respond-async")
    response.headers["Location"] = state.links.self_url
    return state


@router.get("", responses=problems(InvalidRequest))
def list_jobs(
    jobs: ReadJobs,
    status: Annotated[Status | None, Query(description="only jobs of this status")] = None,
    page_size: Annotated[int, Query(ge=1, le=_LARGEST_PAGE)] = _PAGE,
    page_token: Annotated[str | None, Query(max_length=400)] = None,
) -> JobPage:
    """Return the caller's jobs, newest first, a page at a time."""
    page = jobs.listing.page(
        owner=None if jobs.caller.sees_all else jobs.caller.owner,
        status=status,
        size=page_size,
        token=page_token,
    )
    return JobPage(jobs=[jobs.describe(job) for job in page.jobs], next_page_token=page.next_token)


@router.get("/{job_id}", responses=problems(NotFound, InvalidRequest, TooBusy))
async def get_job(
    job_id: str, request: Request, jobs: ReadJobs, watch: Watch, wait: Wait = 0
) -> JobState:
    """Return the job's state; with `wait` at its end, or after so many seconds."""
    if wait > 0:
        return await wait_for_end(jobs, watch, job_id, request, wait)
    return await run_sync(jobs.state, job_id)


@router.get("/{job_id}/result", response_model=JobResult, responses=problems(*RESULTS))
def get_result(job_id: str, jobs: ReadJobs, config: Config) -> Response:
    """Return the result of a finished job."""
    job = jobs.finished(job_id)
    analysis = None
    if job.request.include_hash_analysis:
        analysis = read_json(jobs.results(job) / "analysis.json")
        if not config.show_paths:
            analysis["image_path"] = None
    links = jobs.urls.of_job(job.id, has_result=True)
    return JSONResponse(
        {
            "job_id": job.id,
            "summary": _with_urls(jobs.summary(job), jobs, job.id, show_paths=config.show_paths),
            "analysis": analysis,
            "output_dir": jobs.storage.public_output_path(job.id) if config.show_paths else None,
            "links": links.model_dump(by_alias=True),
        }
    )


def _with_urls(
    summary: dict[str, Any], jobs: CallerJobs, job_id: str, *, show_paths: bool
) -> dict[str, Any]:
    """Add URLs and media type to each layer; blank the server's paths unless they are shown."""
    layers = []
    for layer in summary["layers"]:
        urls = {
            "url": jobs.urls.job(job_id, "layers", layer["stage"]),
            "media_type": MEDIA_TYPES[PurePath(layer["path"]).suffix],
        }
        if "mask_path" in layer:
            urls["mask_url"] = jobs.urls.job(job_id, "masks", layer["stage"])
        layers.append({**_blanked(layer, show_paths, "path", "mask_path"), **urls})
    projects = [_blanked(row, show_paths, "layer_path") for row in summary["projects"]]
    public = _blanked(summary, show_paths, "image", "analysis")
    return {**public, "layers": layers, "projects": projects}


def _blanked(row: Mapping[str, Any], show_paths: bool, *names: str) -> dict[str, Any]:
    return {name: value if show_paths or name not in names else None for name, value in row.items()}


@router.post("/{job_id}/cancel", responses=problems(NotFound))
def cancel_job(job_id: str, jobs: SubmitJobs, queue: Queue, counters: Counters) -> JobState:
    """End the job as error, with the code `cancelled`; an ended job is unchanged.

    A running job stops at its next step, which takes a moment; its upload stays.
    """
    cancel(jobs.find(job_id), queue, counters)
    return jobs.state(job_id)


def cancel(job: Job, queue: Queue, counters: Counters) -> None:
    """Cancel a job that has not ended. A running job is stopped by its worker."""
    if queue.cancel_job(job.id):
        counters.jobs_ended.labels("cancelled").inc()


@router.post("/{job_id}/retry", responses=problems(*REPETITION))
async def retry_job(
    job_id: str, response: Response, jobs: SubmitJobs, submission: Submissions
) -> JobState:
    """Accept a new job with the options and the picture of one that has ended.

    The old job is unchanged. The new one may be refused if settings have changed since.
    """
    job = await run_sync(jobs.find, job_id)
    if not job.is_finished:
        raise NotReady("The job has not ended; cancel it first, or wait.")
    accepted = await Retries(submission).retry(job, jobs.quota)
    state = await run_sync(jobs.view, accepted)
    response.headers["Location"] = state.links.self_url
    return state


@router.post("/retry", responses=problems(InvalidRequest))
async def retry_jobs(
    request: Request, selection: RetryFilter, jobs: SubmitJobs, submission: Submissions
) -> JobsRetried:
    """Accept new jobs for failed or cancelled ones that match a filter, such as after an outage.

    A key with the scope `admin` repeats the jobs of all keys, others their own. The same call
    within a day leads to the same new jobs. `has_more` says that it should be sent again later.
    Each job counts against the key's rate.
    """
    owner = None if jobs.caller.sees_all else jobs.caller.owner
    result = await Retries(submission).retry_matching(
        selection,
        jobs.quota,
        owner=owner,
        admit=lambda count: consume_jobs(request, count - 1),  # the request itself counted as one
    )
    return JobsRetried(
        retried=[
            RetriedJob(job_id=old, new_job_id=view.job.id) for old, view in result.accepted.items()
        ],
        refused=[
            RefusedRetry(job_id=old, code=error.code, detail=error.detail)
            for old, error in result.refused.items()
        ],
        has_more=result.has_more,
    )


@router.delete("/{job_id}", responses=problems(NotFound))
async def delete_job(job_id: str, jobs: DeleteJobs, deletion: Deletions) -> JobDeleted:
    """Delete the job with all its files; a running one is cancelled first."""

    def delete() -> bool:
        return deletion.delete(jobs.find(job_id).id)

    # Separate threads: a deletion may wait for a worker, and must not block other calls.
    if not await run_sync(delete, limiter=deletion.threads):
        raise NotFound("There is no job with this id.")
    return JobDeleted(job_id=job_id, status="deleted")


async def wait_for_end(
    jobs: CallerJobs, watch: JobWatch, job_id: str, request: Request, wait_s: float
) -> JobState:
    """Return the job's state at its end, or after `wait_s`, or once the client has hung up."""
    job = await run_sync(jobs.find, job_id)
    await watch.wait_for_end(
        job, timeout_s=min(wait_s, jobs.config.max_wait), is_gone=request.is_disconnected
    )
    return await run_sync(jobs.state, job_id)
