"""All files of a job as one ZIP."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from artscraper_gateway.api.authentication import Reader
from artscraper_gateway.api.context import Gateway
from artscraper_gateway.api.openapi import ARCHIVE
from artscraper_gateway.api.openapi_problems import RESULTS, problems
from artscraper_gateway.api.zipstream import stream_zip
from artscraper_gateway.errors import NotFound
from artscraper_gateway.jobs.models import Job

router = APIRouter(prefix="/v1/jobs", tags=["layers"])


@router.get(
    "/{job_id}/archive.zip",
    response_class=StreamingResponse,
    responses={**ARCHIVE, **problems(*RESULTS)},
)
def get_archive(job_id: str, used: Reader) -> StreamingResponse:
    """Returns summary.json, analysis.json, all layers and all masks, streamed."""
    job = used.finished_job(job_id)
    used.results(job)  # what keeps it from being fetched is told before it begins
    return zip_response(used, [("", job)], filename=f"{job.id}.zip")


def _folders(used: Gateway, jobs: Iterable[tuple[str, Job]]) -> Iterator[tuple[str, Path]]:
    """Yields each job's folder when it is its turn; looks for the job again behind its files."""
    for name, job in jobs:
        try:
            yield name, used.results(job)
        except NotFound as error:
            raise FileNotFoundError(errno.ENOENT, error.detail, job.id) from error
        if used.store.find(job.id) is None:
            raise FileNotFoundError(errno.ENOENT, "the job was deleted meanwhile", job.id)


def zip_response(
    used: Gateway, jobs: Iterable[tuple[str, Job]], *, filename: str
) -> StreamingResponse:
    """Returns what jobs produced, each below its name, as a ZIP file of unknown length.

    Where a job is deleted meanwhile the answer breaks off, so that nobody takes it for the whole.
    """
    return StreamingResponse(
        stream_zip(_folders(used, jobs)),
        media_type="application/zip",
        headers={
            "Content-Disposition": f'attachment; filename="{filename}"',
            "X-Content-Type-Options": "nosniff",
        },
    )
