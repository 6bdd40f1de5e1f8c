"""The limits of pictures and the choices of jobs."""

from __future__ import annotations

from fastapi import Request
from pydantic import BaseModel, Field

from artscraper_gateway.api.context import services_of
from artscraper_gateway.api.openapi_problems import problems
from artscraper_gateway.api.routes.router import ReadableRouter
from artscraper_gateway.api.schemas import example
from artscraper_gateway.errors import GatewayError
from artscraper_runner import default_stages, stage_names, stage_obstacle

router = ReadableRouter(prefix="/v1", tags=["limits"])


class StageChoice(BaseModel):
    """A protection stage that a job may ask for."""

    name: str
    default: bool = Field(description="runs when the caller names no stages")
    available: bool = Field(description="whether its requirements are installed")


class Limits(BaseModel):
    """Limits of pictures, choices of jobs, and how long jobs are kept."""

    model_config = example(
        {
            "max_upload_bytes": 52_428_800,
            "max_pixels": 50_000_000,
            "max_side": 16_384,
            "max_frames": 2_000,
            "max_queued": 10_000,
            "job_ttl": 86_400.0,
            "max_disk": 10_000_000_000,
            "strength": "medium",
            "copyright_notice": "(c) Ada Example",
            "usage_terms": "Ask before any use",
            "allow_search_engines": False,
            "stages": [{"name": "mist", "default": True, "available": True}],
        }
    )

    max_upload_bytes: int
    max_pixels: int = Field(description="over all frames")
    max_side: int = Field(description="px of the longer side")
    max_frames: int
    max_queued: int = Field(description="jobs that may wait at a time")
    job_ttl: float | None = Field(description="seconds after its end; null if kept until deleted")
    max_disk: int | None = Field(
        description="bytes of all jobs, beyond which the oldest finished ones are deleted; null"
        " if unlimited"
    )
    strength: str = Field(description="of jobs that name none")
    copyright_notice: str | None = Field(description="of jobs with the stage c2pa that name none")
    usage_terms: str | None = Field(description="of jobs with the stage c2pa that name none")
    allow_search_engines: bool = Field(description="of jobs with the stage c2pa that name none")
    stages: list[StageChoice] = Field(description="in the order in which they run")


@router.get("/limits", responses=problems(common=(GatewayError,)))
def get_limits(request: Request) -> Limits:
    """Return the limits and choices; needs no API key."""
    config = services_of(request).config
    defaults = config.stages or default_stages()
    stages = [
        StageChoice(name=name, default=name in defaults, available=not stage_obstacle(name))
        for name in stage_names()
    ]
    return Limits.model_validate({**dict(config), "stages": stages})
