"""All files of a job as one ZIP."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from artscraper_gateway.archive import stream_zip
from artscraper_gateway.errors import (
    JobFailed,
    NotFound,
    NotReady,
)
from artscraper_gateway.routes.access import Reader
from artscraper_gateway.routes.openapi import ARCHIVE
from artscraper_gateway.routes.problem_docs import problems

router = APIRouter(prefix="/v1/jobs", tags=["layers"])


@router.get(
    "/{job_id}/archive.zip",
    response_class=StreamingResponse,
    responses={**ARCHIVE, **problems(NotFound, NotReady, JobFailed)},
)
def get_archive(job_id: str, used: Reader) -> StreamingResponse:
    """Returns summary.json, analysis.json, all layers and all masks, streamed."""
    job = used.finished_job(job_id)
    return zip_response([("", used.storage.output(job.id))], filename=f"{job.id}.zip")


def zip_response(folders: Iterable[tuple[str, Path]], *, filename: str) -> StreamingResponse:
    """Returns the folders as a ZIP file whose length nobody knows before its end."""
    return StreamingResponse(
        stream_zip(folders),
        media_type="application/zip",
        headers={
            "Content-Disposition": f'attachment; filename="{filename}"',
            "X-Content-Type-Options": "nosniff",
        },
    )
