"""Run a job again: a new one from the same upload, with the same choices."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from artscraper_gateway.api.authentication import Submitter
from artscraper_gateway.api.openapi_problems import problems
from artscraper_gateway.api.schemas import JobState
from artscraper_gateway.errors import (
    BrokenPicture,
    ForbiddenAddress,
    InvalidRequest,
    NotFound,
    NotReady,
    QueueFull,
    StorageFailed,
    TooLarge,
    UnsupportedPicture,
)
from artscraper_gateway.jobs.models import Job
from artscraper_gateway.jobs.submission import IncomingPicture, ThreadReceiver
from artscraper_gateway.storage.base import Storage

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
# Settings may have changed since the job was accepted.
_CHANGED = (InvalidRequest, ForbiddenAddress, TooLarge, UnsupportedPicture, BrokenPicture)
_REFUSALS = (NotFound, NotReady, *_CHANGED, QueueFull, StorageFailed)


@router.post("/{job_id}/retry", responses=problems(*_REFUSALS))
async def retry_job(job_id: str, request: Request, response: Response, used: Submitter) -> JobState:
    """Accepts a new job that asks for what this one asked for, of the same picture.

    The job has to have ended; it stays as it is. Where the settings have changed since, the new
    one may be refused.
    """
    job = await run_sync(used.job, job_id)
    if not job.is_finished:
        raise NotReady("The job has not ended; cancel it first, or wait.")
    targets = {
        name: _copy_of(used.storage, job, file) for name, file in job.request.target_files.items()
    }
    options = job.request.to_options(priority=job.priority, callback_url=job.callback_url)
    offer = IncomingPicture(_copy_of(used.storage, job, job.source), options, targets)
    accepted = await used.submission.accept(offer, used.quota)
    response.headers["Location"] = request.url_for("get_job", job_id=accepted.job.id).path
    return used.shown(accepted)


def _copy_of(storage: Storage, job: Job, name: str) -> ThreadReceiver:
    return partial(_copy, storage, job.id, name)


def _copy(storage: Storage, job_id: str, name: str, destination: Path) -> None:
    try:
        shutil.copyfile(storage.local_input(job_id) / name, destination)
    except FileNotFoundError as error:
        raise NotFound("The job's picture is no longer on the server's disk.") from error
