"""Serve the picture of what a stage changed, amplified."""

from __future__ import annotations

from pathlib import Path, PurePath

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from artscraper_gateway.api.authentication import Reader
from artscraper_gateway.api.context import Gateway
from artscraper_gateway.api.files import serve_file
from artscraper_gateway.api.openapi import LAYER
from artscraper_gateway.api.openapi_problems import RESULTS, problems
from artscraper_gateway.errors import NotFound, UnsatisfiableRange
from artscraper_gateway.jobs.models import Job

router = APIRouter(prefix="/v1/jobs", tags=["layers"])


@router.get(
    "/{job_id}/masks/{stage}",
    response_class=StreamingResponse,
    responses={**LAYER, **problems(*RESULTS, UnsatisfiableRange)},
)
def get_mask(job_id: str, stage: str, request: Request, used: Reader) -> Response:
    """Returns what is different from the original after `stage`, amplified, as a grey PNG."""
    job = used.finished_job(job_id)
    mask = _mask_path(used, job, stage)
    return serve_file(request, mask, media_type="image/png", filename=f"{stage}-change.png")


def _mask_path(used: Gateway, job: Job, stage: str) -> Path:
    """The stage is looked up among the layers that the summary lists, never joined to a path."""
    layers = used.summary(job)["layers"]
    masks = {each["stage"]: each["mask_path"] for each in layers if "mask_path" in each}
    if stage not in masks:
        raise NotFound(f"The job has no change of this name; it has: {', '.join(masks) or 'none'}.")
    return used.results(job).joinpath(*PurePath(masks[stage]).parts[-2:])
