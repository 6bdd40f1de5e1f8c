"""Stream the picture that a stage left."""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePath
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse

from artscraper_gateway.errors import NotFound
from artscraper_gateway.routes import Gateway, gateway
from artscraper_gateway.routes.openapi import LAYER, PROBLEMS

router = APIRouter(prefix="/v1/jobs", tags=["layers"])
_MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".avif": "image/avif",
}


@router.get(
    "/{job_id}/layers/{stage}",
    response_class=FileResponse,
    responses={**LAYER, **PROBLEMS[404, 409]},
)
def get_layer(job_id: str, stage: str, used: Annotated[Gateway, Depends(gateway)]) -> FileResponse:
    """Returns the picture as `stage` left it; `original` is the upload, byte for byte."""
    job = used.finished_job(job_id)
    path = _layer_path(used.storage.output(job.id), stage)
    headers = {"X-Content-Type-Options": "nosniff"}
    if "c2pa" in job.request["stages"]:  # the caller asked for a do-not-train statement
        headers["tdm-reservation"] = "1"
    return FileResponse(
        path,
        media_type=_MEDIA_TYPES[path.suffix],
        filename=f"{stage}{path.suffix}",
        content_disposition_type="inline",
        headers=headers,
        stat_result=_stat(path),
    )


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError as error:
        raise NotFound("The job is being deleted.") from error


def _layer_path(output: Path, stage: str) -> Path:
    """The stage is looked up among the layers that the summary lists, never joined to a path."""
    try:
        summary = json.loads((output / "summary.json").read_text("utf-8"))
    except FileNotFoundError as error:
        raise NotFound("The job's results are no longer on the server's disk.") from error
    for layer in summary["layers"]:
        path = output.joinpath(*PurePath(layer["path"]).parts[-3:])
        if layer["stage"] == stage and path.is_file():
            return path
    known = ", ".join(layer["stage"] for layer in summary["layers"])
    raise NotFound(f"The job has no layer of this name; it has: {known}.")
