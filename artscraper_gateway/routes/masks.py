"""Serve the picture of what a stage changed, amplified."""

from __future__ import annotations

import json
from pathlib import Path, PurePath

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from artscraper_gateway.errors import (
    JobFailed,
    NotFound,
    NotReady,
    UnsatisfiableRange,
)
from artscraper_gateway.routes.access import Reader
from artscraper_gateway.routes.files import serve_file
from artscraper_gateway.routes.openapi import LAYER
from artscraper_gateway.routes.problem_docs import problems

router = APIRouter(prefix="/v1/jobs", tags=["layers"])


@router.get(
    "/{job_id}/masks/{stage}",
    response_class=FileResponse,
    responses={**LAYER, **problems(NotFound, NotReady, JobFailed, UnsatisfiableRange)},
)
def get_mask(job_id: str, stage: str, request: Request, used: Reader) -> Response:
    """Returns what is different from the original after `stage`, amplified, as a grey PNG."""
    job = used.finished_job(job_id)
    mask = _mask_path(used.storage.output(job.id), stage)
    return serve_file(request, mask, media_type="image/png", filename=f"{stage}-change.png")


def _mask_path(output: Path, stage: str) -> Path:
    """The stage is looked up among the layers that the summary lists, never joined to a path."""
    try:
        summary = json.loads((output / "summary.json").read_text("utf-8"))
    except FileNotFoundError as error:
        raise NotFound("The job's results are no longer on the server's disk.") from error
    masks = {each["stage"]: each["mask_path"] for each in summary["layers"] if "mask_path" in each}
    if stage in masks:
        path = output.joinpath(*PurePath(masks[stage]).parts[-2:])
        if path.is_file():
            return path
    raise NotFound(f"The job has no change of this name; it has: {', '.join(masks) or 'none'}.")
