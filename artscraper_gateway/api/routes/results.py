"""Serve the picture that a stage left, or a small copy of it."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path, PurePath
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from artscraper_gateway.api.authentication import Reader
from artscraper_gateway.api.context import Gateway
from artscraper_gateway.api.files import serve_file
from artscraper_gateway.api.openapi import LAYER
from artscraper_gateway.api.openapi_problems import RESULTS, problems
from artscraper_gateway.errors import (
    GatewayError,
    InvalidRequest,
    NotFound,
    TooBusy,
    UnsatisfiableRange,
)
from artscraper_gateway.jobs.models import Job
from artscraper_gateway.sandbox.previews import MEDIA_TYPES as PREVIEW_MEDIA_TYPES
from artscraper_runner import PREVIEW_SIDES

router = APIRouter(prefix="/v1/jobs", tags=["layers"])
_ORIGINAL = "original"
_MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".avif": "image/avif",
}
Size = Annotated[
    int | None,
    Query(
        ge=PREVIEW_SIDES[0],
        le=PREVIEW_SIDES[1],
        description="px of the longer side of a preview, at most; none = the layer itself",
    ),
]


@router.head("/{job_id}/layers/{stage}", include_in_schema=False)
@router.get(
    "/{job_id}/layers/{stage}",
    response_class=StreamingResponse,
    responses={**LAYER, **problems(*RESULTS, UnsatisfiableRange, InvalidRequest, TooBusy)},
)
async def get_layer(
    job_id: str,
    stage: str,
    request: Request,
    used: Reader,
    size: Size = None,
) -> Response:
    """Returns the picture as `stage` left it; `original` is the upload, byte for byte.

    `original` is there as soon as the job is accepted, the other layers once it is done.
    With `size` a preview: JPEG where Accept names it and not WebP, else WebP.
    """
    job, layer = await run_sync(_find_layer, used, job_id, stage)
    headers = {}
    if "c2pa" in job.request.stages:  # the caller asked for a do-not-train statement
        headers["tdm-reservation"] = "1"
    media_type = _MEDIA_TYPES[layer.suffix]
    if size is not None:
        headers["Vary"] = "Accept"
        suffix = _preview_suffix(request.headers.get("accept", ""))
        layer = await _preview(used, job, layer, size=size, suffix=suffix)
        media_type = PREVIEW_MEDIA_TYPES[suffix]
    serve = partial(
        serve_file,
        media_type=media_type,
        filename=f"{stage}{layer.suffix}",
        headers=headers,
    )
    return await run_sync(serve, request, layer)


async def _preview(used: Gateway, job: Job, layer: Path, *, size: int, suffix: str) -> Path:
    folder = used.storage.previews(job.id)
    try:
        made, grown = await used.previews.find_or_make(layer, folder, size=size, suffix=suffix)
    except (GatewayError, OSError):
        await run_sync(_check_kept, used, job.id)
        await run_sync(_check_there, layer)
        raise
    if grown:
        await run_sync(used.store.add_disk_bytes, job.id, grown)
    await run_sync(_check_kept, used, job.id)
    return made


def _preview_suffix(accept: str) -> str:
    accept = accept.lower()
    return ".jpg" if "image/jpeg" in accept and "image/webp" not in accept else ".webp"


def _find_layer(used: Gateway, job_id: str, stage: str) -> tuple[Job, Path]:
    job = used.job(job_id)
    if stage == _ORIGINAL and job.status != "done":
        return job, _upload_path(used, job)
    job = used.finished_job(job_id)
    return job, _layer_path(used, job, stage)


def _upload_path(used: Gateway, job: Job) -> Path:
    """The upload, which is there before there are layers, and also when there will be none."""
    with suppress(FileNotFoundError):
        path = used.storage.local_input(job.id) / job.source
        _check_kept(used, job.id)
        if path.is_file():
            return path
    raise NotFound("The upload is no longer on the server's disk.")


def _check_kept(used: Gateway, job_id: str) -> None:
    """What was fetched or made while its job was being deleted must not stay."""
    if used.store.find(job_id) is None:
        used.storage.remove(job_id)
        raise NotFound("The job was deleted meanwhile.")


def _layer_path(used: Gateway, job: Job, stage: str) -> Path:
    """The stage is looked up among the layers that the summary lists, never joined to a path."""
    paths = {layer["stage"]: layer["path"] for layer in used.summary(job)["layers"]}
    if stage not in paths:
        raise NotFound(f"The job has no layer of this name; it has: {', '.join(paths)}.")
    path = used.results(job).joinpath(*PurePath(paths[stage]).parts[-3:])
    _check_there(path)
    return path


def _check_there(layer: Path) -> None:
    if not layer.is_file():
        raise NotFound("The picture is no longer on the server's disk.")
