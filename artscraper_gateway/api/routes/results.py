"""Serve the results of a job: layers, previews, masks of the change, an archive of all files."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse

from artscraper_gateway.api.authentication import LinkedJobs, ReadJobs
from artscraper_gateway.api.context import (
    MEDIA_TYPES,
    ORIGINAL,
    CallerJobs,
    LayerFile,
    PreviewService,
    Signer,
)
from artscraper_gateway.api.files import (
    content_disposition,
    download_stem,
    layer_name,
    serve_file,
)
from artscraper_gateway.api.openapi import ARCHIVE, LAYER
from artscraper_gateway.api.openapi_problems import RESULTS, problems
from artscraper_gateway.api.opt_out import opt_out_headers
from artscraper_gateway.api.result_schemas import SignedLink
from artscraper_gateway.api.routes.router import ReadableRouter
from artscraper_gateway.api.zipstream import stream_zip
from artscraper_gateway.errors import (
    GatewayError,
    InvalidRequest,
    LinkNotValid,
    NotFound,
    PreconditionFailed,
    TooBusy,
    UnsatisfiableRange,
)
from artscraper_gateway.jobs.models import Job
from artscraper_gateway.sandbox.previews import MEDIA_TYPES as PREVIEW_MEDIA_TYPES
from artscraper_gateway.sandbox.previews import Previews
from artscraper_runner import PREVIEW_SIDES

router = ReadableRouter(prefix="/v1/jobs", tags=["layers"])
_LONGEST_LINK_S = 30 * 86_400
_FILE_PROBLEMS = (*RESULTS, UnsatisfiableRange, PreconditionFailed)
Size = Annotated[
    int | None,
    Query(
        ge=PREVIEW_SIDES[0],
        le=PREVIEW_SIDES[1],
        description="px of the longer side of a preview, at most; if none, the layer itself",
    ),
]


@router.get(
    "/{job_id}/layers/{stage}",
    response_class=StreamingResponse,
    responses={**LAYER, **problems(*_FILE_PROBLEMS, LinkNotValid, InvalidRequest, TooBusy)},
)
async def get_layer(
    job_id: str,
    stage: str,
    request: Request,
    jobs: LinkedJobs,
    previews: PreviewService,
    size: Size = None,
) -> Response:
    """Return the picture as `stage` left it; `final` is the last layer, the protected picture.

    `original` is the upload, byte for byte, and there as soon as the job is accepted; the other
    layers are there once it is done. With `size` a preview: JPEG where Accept names it and not
    WebP, else WebP. A signed link works without an API key.
    """
    job, layer = await run_sync(_find_layer, jobs, job_id, stage)
    return await layer_response(request, jobs, job, layer, previews=previews, size=size)


async def layer_response(
    request: Request,
    jobs: CallerJobs,
    job: Job,
    layer: LayerFile,
    *,
    previews: Previews,
    size: int | None = None,
    upload_name: str | None = None,
) -> Response:
    """Return a layer, or a preview of it, named after the upload."""
    headers = {
        **opt_out_headers(jobs.config, job),
        "X-Job-Id": job.id,
        "Link": jobs.urls.link_header(job.id),
    }
    path, media_type = layer.path, MEDIA_TYPES[layer.path.suffix]
    if size is not None:
        headers["Vary"] = "Accept"
        suffix = _preview_suffix(request.headers.get("accept", ""))
        path = await _preview(jobs, previews, job, path, size=size, suffix=suffix)
        media_type = PREVIEW_MEDIA_TYPES[suffix]
    name = layer_name(
        download_stem(job, upload_name),
        index=layer.index,
        is_final=layer.is_final,
        suffix=path.suffix,
    )
    serve = partial(serve_file, media_type=media_type, filename=name, headers=headers)
    return await run_sync(serve, request, path)


@router.get(
    "/{job_id}/masks/{stage}",
    response_class=StreamingResponse,
    responses={**LAYER, **problems(*_FILE_PROBLEMS)},
)
def get_mask(job_id: str, stage: str, request: Request, jobs: ReadJobs) -> Response:
    """Return the difference from the original after `stage`, amplified, as a grey PNG."""
    job = jobs.finished(job_id)
    mask = jobs.layer_file(job, stage, "mask_path")
    name = f"{download_stem(job)}-change-{mask.index + 1}.png"
    headers = opt_out_headers(jobs.config, job)
    return serve_file(request, mask.path, media_type="image/png", filename=name, headers=headers)


@router.post("/{job_id}/layers/{stage}/link", responses=problems(*RESULTS, InvalidRequest))
def sign_layer_link(
    job_id: str,
    stage: str,
    jobs: ReadJobs,
    signer: Signer,
    expires_in: Annotated[
        int, Query(ge=1, le=_LONGEST_LINK_S, description="seconds that the link works")
    ] = 3600,
) -> SignedLink:
    """Return a link to the layer that works without an API key, for `<img>` and the like.

    It works until it expires or the job is deleted, also when the key that made it was revoked.
    """
    job, _ = _find_layer(jobs, job_id, stage)
    expires_at = int(time.time()) + expires_in
    signature = signer.sign(job.id, f"layers/{stage}", expires_at=expires_at)
    url = f"{jobs.urls.job(job.id, 'layers', stage)}?expires={expires_at}&signature={signature}"
    return SignedLink(url=url, expires_at=expires_at)


@router.get(
    "/{job_id}/archive.zip",
    response_class=StreamingResponse,
    responses={**ARCHIVE, **problems(*RESULTS)},
)
def get_archive(job_id: str, request: Request, jobs: ReadJobs) -> Response:
    """Return summary.json, analysis.json, all layers and all masks, streamed."""
    job = jobs.finished(job_id)
    jobs.results(job)  # problems are answered before the stream begins
    return zip_response(request, jobs, [("", job)], filename=f"{download_stem(job)}-protected.zip")


def zip_response(
    request: Request, jobs: CallerJobs, finished: Iterable[tuple[str, Job]], *, filename: str
) -> Response:
    """Return the files of finished jobs, each below its name, as a ZIP file of unknown length.

    If a job is deleted meanwhile the stream is aborted, so that it cannot pass for complete.
    """
    finished = list(finished)
    headers = {
        "Content-Disposition": content_disposition("attachment", filename),
        "X-Content-Type-Options": "nosniff",
        **opt_out_headers(jobs.config, *(job for _, job in finished)),
    }
    # The length is unknown; an empty body would state 0.
    chunks = iter(()) if request.method == "HEAD" else stream_zip(_folders(jobs, finished))
    return StreamingResponse(chunks, media_type="application/zip", headers=headers)


def _folders(jobs: CallerJobs, finished: Iterable[tuple[str, Job]]) -> Iterator[tuple[str, Path]]:
    """Yield each job's folder when it is its turn; check afterwards that the job still exists."""
    for name, job in finished:
        try:
            yield name, jobs.results(job)
        except NotFound as error:
            raise FileNotFoundError(errno.ENOENT, error.detail, job.id) from error
        if jobs.store.find(job.id) is None:
            raise FileNotFoundError(errno.ENOENT, "the job was deleted meanwhile", job.id)


async def _preview(
    jobs: CallerJobs, previews: Previews, job: Job, layer: Path, *, size: int, suffix: str
) -> Path:
    folder = jobs.storage.previews(job.id)
    try:
        path, added_bytes = await previews.find_or_make(layer, folder, size=size, suffix=suffix)
    except (GatewayError, OSError):
        await run_sync(jobs.check_kept, job.id)
        if not await run_sync(layer.is_file):
            raise NotFound("The picture is no longer on the server's disk.") from None
        raise
    if added_bytes:
        await run_sync(jobs.store.add_disk_bytes, job.id, added_bytes)
    await run_sync(jobs.check_kept, job.id)
    return path


def _preview_suffix(accept: str) -> str:
    accept = accept.lower()
    return ".jpg" if "image/jpeg" in accept and "image/webp" not in accept else ".webp"


def _find_layer(jobs: CallerJobs, job_id: str, stage: str) -> tuple[Job, LayerFile]:
    job = jobs.find(job_id)
    if stage == ORIGINAL and job.status != "done":
        return job, LayerFile(_upload_path(jobs, job), ORIGINAL, 0, is_final=False)
    job = jobs.finished(job_id)
    return job, jobs.layer_file(job, stage)


def _upload_path(jobs: CallerJobs, job: Job) -> Path:
    """Return the upload, which exists before there are layers, and if there will be none."""
    with suppress(FileNotFoundError):
        path = jobs.storage.local_input(job.id) / job.source
        jobs.check_kept(job.id)
        if path.is_file():
            return path
    raise NotFound("The upload is no longer on the server's disk.")
