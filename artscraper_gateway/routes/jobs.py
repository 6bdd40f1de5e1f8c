"""Submit a job, ask how it stands, fetch its result, delete it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from artscraper_gateway.errors import InvalidRequest, NotFound, UnsupportedRequestBody
from artscraper_gateway.folders import JobFolders
from artscraper_gateway.intake.address_guard import AddressRules
from artscraper_gateway.intake.download import download
from artscraper_gateway.intake.local_path import copy_local
from artscraper_gateway.intake.upload import bounded_request, save_upload, uploaded_form
from artscraper_gateway.routes import Gateway, gateway
from artscraper_gateway.routes.openapi import PROBLEMS, SUBMIT_BODY
from artscraper_gateway.routes.prefer import Preference, wait_for_end
from artscraper_gateway.routes.problems import invalid_request
from artscraper_gateway.schemas import (
    JobByReference,
    JobDeleted,
    JobOptions,
    JobResult,
    JobState,
)
from artscraper_gateway.store import Job

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
UsedGateway = Annotated[Gateway, Depends(gateway)]
_MAX_JSON_BYTES = 64 * 1024
# Fields that may hold a picture of the caller's own; nightshade's also a concept's name.
_TARGETS = ("nightshade_target", "fawkes_target")


@router.post("", openapi_extra=SUBMIT_BODY, responses=PROBLEMS[413, 415, 422, 503])
async def submit_job(request: Request, response: Response, used: UsedGateway) -> JobState:
    """Accepts a picture and returns its job, queued.

    `Prefer: respond-async` answers 202 instead of 200, `Prefer: wait=N` waits for the end for up
    to N seconds and answers with the job as it is then.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        job = await _submit_form(request, used)
    elif media_type == "application/json":
        job = await _submit_reference(request, used)
    else:
        raise UnsupportedRequestBody("expected multipart/form-data or application/json")
    preference = Preference.parse(request.headers.get("prefer", ""))
    if preference.wait_s is not None:
        timeout_s = min(preference.wait_s, used.config.max_wait)
        job = await wait_for_end(used.store, job, request, timeout_s=timeout_s)
        response.headers["Preference-Applied"] = f"wait={preference.wait_s:.0f}"
    if preference.respond_async and not job.is_finished:
        response.status_code = 202
        response.headers.append("Preference-Applied", "respond-async")
    response.headers["Location"] = request.url_for("get_job", job_id=job.id).path
    return JobState.of(job)


@router.get("/{job_id}", responses=PROBLEMS[404,])
def get_job(job_id: str, used: UsedGateway) -> JobState:
    """Returns how the job stands."""
    return JobState.of(used.job(job_id))


@router.get("/{job_id}/result", responses=PROBLEMS[404, 409])
def get_result(job_id: str, used: UsedGateway) -> JobResult:
    """Returns what a finished job produced."""
    job = used.finished_job(job_id)
    output = JobFolders.of(job.id, used.config).output
    return JobResult(
        job_id=job.id,
        summary=_read_json(output / "summary.json"),
        analysis=_read_json(output / "analysis.json")
        if job.request["include_hash_analysis"]
        else None,
        output_dir=str(output),
    )


@router.delete("/{job_id}", responses=PROBLEMS[404,])
async def delete_job(job_id: str, used: UsedGateway) -> JobDeleted:
    """Deletes the job with all its files; one that runs is cancelled first."""
    # Threads of their own: a deletion may wait for a worker, and must not hold up other calls.
    if not await run_sync(used.deletion.delete, job_id, limiter=used.deletion.threads):
        raise NotFound("There is no job of this id.")
    return JobDeleted(job_id=job_id, status="deleted")


async def _submit_form(request: Request, used: Gateway) -> Job:
    limit = used.config.max_upload_bytes
    async with uploaded_form(request, max_bytes=limit) as form:
        upload = form.get("file")
        if not isinstance(upload, UploadFile):
            raise InvalidRequest("file: expected a picture in this form field, found none")
        options = _form_options(form)
        targets = {
            name: partial(save_upload, sent, max_bytes=limit)
            for name in _TARGETS
            if isinstance(sent := form.get(name), UploadFile)
        }
        return await used.submission.accept(
            partial(save_upload, upload, max_bytes=limit),
            options,
            targets=targets,
        )


def _form_options(form: FormData) -> JobOptions:
    """A field that is left empty, as browsers send it, means its default."""
    fields: dict[str, Any] = {}
    for name in set(form) - {"file"}:
        values = form.getlist(name)
        if name in _TARGETS and isinstance(values[0], UploadFile):
            continue
        if any(isinstance(value, UploadFile) for value in values):
            raise InvalidRequest(f"{name[:80]}: expected text, found a file")
        text = ",".join(str(value) for value in values)
        if text:
            fields[name] = text
    options: JobOptions = _validated(JobOptions.model_validate, fields)
    return options


async def _submit_reference(request: Request, used: Gateway) -> Job:
    body = await bounded_request(request, _MAX_JSON_BYTES).body()
    asked: JobByReference = _validated(JobByReference.model_validate_json, body)
    limit = used.config.max_upload_bytes

    async def receive(destination: Path) -> int:
        if asked.image_url is not None:
            return await download(
                asked.image_url,
                destination,
                max_bytes=limit,
                timeout_s=used.config.request_timeout,
                rules=AddressRules(used.config.allow_private_addresses, used.config.allowed_hosts),
            )
        return await copy_local(
            asked.local_path or "",
            destination,
            roots=used.config.local_roots,
            cwd=Path.cwd(),
            max_bytes=limit,
        )

    return await used.submission.accept(receive, asked.options())


def _validated(validate: Any, value: Any) -> Any:
    try:
        return validate(value)
    except ValidationError as error:
        raise invalid_request(error) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise NotFound("The job's results are no longer on the server's disk.") from error
    return content
