"""Ask what a picture's watermark says, and which job wrote it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile

from artscraper_gateway.api.authentication import Reader
from artscraper_gateway.api.openapi import PICTURE_BODY
from artscraper_gateway.api.openapi_problems import PICTURE, problems
from artscraper_gateway.api.schemas import WatermarkReading
from artscraper_gateway.errors import InvalidRequest, StorageFailed, TooBusy, UnsupportedRequestBody
from artscraper_gateway.intake.upload import UploadedPicture, uploaded_form
from artscraper_gateway.storage.paths import READING_PREFIX

router = APIRouter(prefix="/v1/watermarks", tags=["watermarks"])


@router.post(
    "/read", openapi_extra=PICTURE_BODY, responses=problems(*PICTURE, TooBusy, StorageFailed)
)
async def read_watermark(request: Request, used: Reader) -> WatermarkReading:
    """Returns what the watermark of an uploaded picture says; the picture is not kept."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "multipart/form-data":
        raise UnsupportedRequestBody("expected multipart/form-data")
    limit = used.config.max_upload_bytes
    folder = Path(tempfile.mkdtemp(dir=used.config.base_dir, prefix=READING_PREFIX))
    try:
        async with uploaded_form(request, max_bytes=limit, max_files=1) as form:
            upload = form.get("file")
            if not isinstance(upload, UploadFile):
                raise InvalidRequest("file: expected a picture in this form field, found none")
            await run_sync(UploadedPicture(upload, max_bytes=limit).save, folder / "picture")
        await run_sync(used.submission.check_header, folder / "picture")
        found = await used.reader.read(folder / "picture")
    finally:
        await run_sync(shutil.rmtree, folder, True)
    payload = found["payload"]
    job = await run_sync(used.store.find_by_watermark, payload) if payload else None
    known = job is not None and used.may_see(job.owner)
    return WatermarkReading(**found, job_id=job.id if job and known else None)
