"""Read the watermark of a picture, and find the job that wrote it."""

from __future__ import annotations

from anyio.to_thread import run_sync
from fastapi import Request

from artscraper_gateway.api.authentication import ReadJobs
from artscraper_gateway.api.context import Reader, Submissions
from artscraper_gateway.api.forms import PictureForm, parse_form
from artscraper_gateway.api.openapi import PICTURE_BODY
from artscraper_gateway.api.openapi_problems import PICTURE, problems
from artscraper_gateway.api.routes.router import ReadableRouter
from artscraper_gateway.api.schemas import WatermarkReading
from artscraper_gateway.errors import StorageFailed, TooBusy

router = ReadableRouter(prefix="/v1/watermarks", tags=["watermarks"])


@router.post(
    "/read", openapi_extra=PICTURE_BODY, responses=problems(*PICTURE, TooBusy, StorageFailed)
)
async def read_watermark(
    request: Request, jobs: ReadJobs, submission: Submissions, reader: Reader
) -> WatermarkReading:
    """Read the watermark of an uploaded picture, which is not kept."""
    limit = jobs.config.max_upload_bytes
    async with parse_form(PictureForm, request, jobs.config, max_bytes=limit) as (_, picture):
        await run_sync(submission.check_header, picture)
        reading = await reader.read(picture)
    payload = reading["payload"]
    job = await run_sync(jobs.store.find_by_watermark, payload) if payload else None
    is_visible = job is not None and jobs.may_see(job.owner)
    return WatermarkReading(**reading, job_id=job.id if job and is_visible else None)
