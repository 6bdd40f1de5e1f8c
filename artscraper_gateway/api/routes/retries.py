"""Run one job, or many by a filter, again."""

from __future__ import annotations

from anyio.to_thread import run_sync
from fastapi import Request, Response

from artscraper_gateway.api.authentication import SubmitJobs, consume_jobs
from artscraper_gateway.api.context import Submissions
from artscraper_gateway.api.openapi_problems import REPETITION, problems
from artscraper_gateway.api.routes.router import ReadableRouter
from artscraper_gateway.api.schemas import JobsRetried, JobState, RefusedRetry, RetriedJob
from artscraper_gateway.errors import InvalidRequest, NotReady
from artscraper_gateway.jobs.retries import Retries, RetryFilter

router = ReadableRouter(prefix="/v1/jobs", tags=["jobs"])


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
