"""Protect one picture in a single request."""

from __future__ import annotations

from anyio.to_thread import run_sync
from fastapi import Request, Response
from fastapi.responses import JSONResponse

from artscraper_gateway.api.authentication import SubmitJobs
from artscraper_gateway.api.context import (
    FINAL,
    Counters,
    PreviewService,
    Queue,
    Submissions,
    Watch,
)
from artscraper_gateway.api.forms import idempotency_key, parse_submission
from artscraper_gateway.api.openapi import (
    IDEMPOTENCY_KEY,
    OPTION_PARAMETERS,
    PREFER,
    PROTECTED,
    SUBMIT_BODY,
)
from artscraper_gateway.api.openapi_problems import SUBMISSION, problems
from artscraper_gateway.api.routes.jobs import Preference, cancel, wait_for_end
from artscraper_gateway.api.routes.results import layer_response
from artscraper_gateway.api.routes.router import ReadableRouter
from artscraper_gateway.api.schemas import JobState
from artscraper_gateway.errors import JobFailed, TooBusy

router = ReadableRouter(prefix="/v1", tags=["jobs"])


@router.post(
    "/protect",
    response_class=Response,
    openapi_extra={**SUBMIT_BODY, "parameters": [*OPTION_PARAMETERS, IDEMPOTENCY_KEY, PREFER]},
    responses={**PROTECTED, **problems(*SUBMISSION, JobFailed, TooBusy)},
)
async def protect_picture(
    request: Request,
    jobs: SubmitJobs,
    submission: Submissions,
    watch: Watch,
    queue: Queue,
    counters: Counters,
    previews: PreviewService,
) -> Response:
    """Protect a picture and return the protected picture itself.

    Options are form fields or query parameters, each given once. A job that takes longer than
    `max_wait`, or than `Prefer: wait=N`, is answered with 202 and its state, as
    `Prefer: respond-async` asks for at once. If the client hangs up during the wait the job is
    cancelled, unless `Prefer: wait=N` or an `Idempotency-Key` shows that it may retry.
    """
    key = idempotency_key(request)
    async with parse_submission(request, jobs.config, with_query=True) as picture:
        accepted = await submission.accept(picture, jobs.quota, key=key)
    state = await run_sync(jobs.view, accepted)
    preference = Preference.of(request)
    if not preference.respond_async and state.finished_at is None:
        wait_s = jobs.config.max_wait if preference.wait_s is None else preference.wait_s
        state = await wait_for_end(jobs, watch, state.job_id, request, wait_s)
        is_abandoned = preference.wait_s is None and key is None
        if is_abandoned and state.finished_at is None and await request.is_disconnected():
            await run_sync(cancel, accepted.job, queue, counters)
    if state.finished_at is None:
        return _accepted(state, jobs.urls.link_header(state.job_id), preference)
    job = await run_sync(jobs.finished, state.job_id)
    layer = await run_sync(jobs.layer_file, job, FINAL)
    response = await layer_response(
        request, jobs, job, layer, previews=previews, upload_name=picture.file_name
    )
    response.headers["Content-Location"] = jobs.urls.job(job.id, "layers", FINAL)
    return response


def _accepted(state: JobState, link: str, preference: Preference) -> Response:
    headers = {
        "Location": state.links.self_url,
        "Link": link,
        "X-Job-Id": state.job_id,
        "Retry-After": "2",
    }
    if preference.respond_async:
        headers["Preference-Applied"] = "respond-async"
    return JSONResponse(state.model_dump(mode="json", by_alias=True), 202, headers)
