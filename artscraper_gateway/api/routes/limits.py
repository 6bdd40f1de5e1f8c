"""Say what the gateway takes, what can be chosen, and for how long jobs are kept."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from artscraper_gateway.api.context import Gateway
from artscraper_gateway.api.openapi_problems import problems
from artscraper_gateway.errors import GatewayError
from artscraper_runner import default_stages, stage_names, stage_obstacle

router = APIRouter(prefix="/v1", tags=["limits"])


class StageChoice(BaseModel):
    """A protection stage that a job may ask for."""

    name: str
    default: bool = Field(description="runs when the caller names no stages")
    available: bool = Field(description="whether what it needs is installed")


class Limits(BaseModel):
    """What a picture may measure, what a job may ask for, and how long it is kept."""

    max_upload_bytes: int
    max_pixels: int = Field(description="over all frames")
    max_side: int = Field(description="px of the longer side")
    max_frames: int
    max_queued: int = Field(description="jobs that may wait at a time")
    job_ttl: float | None = Field(description="seconds after its end; null = until deleted")
    max_disk: int | None = Field(
        description="bytes of all jobs, beyond which the oldest finished ones go; null = no limit"
    )
    strength: str = Field(description="of jobs that name none")
    stages: list[StageChoice] = Field(description="in the order in which they run")


@router.get("/limits", responses=problems(common=(GatewayError,)))
def get_limits(request: Request) -> Limits:
    """Returns the limits and choices; needs no API key."""
    gateway: Gateway = request.app.state.gateway
    config = gateway.config
    defaults = config.stages or default_stages()
    return Limits(
        max_upload_bytes=config.max_upload_bytes,
        max_pixels=config.max_pixels,
        max_side=config.max_side,
        max_frames=config.max_frames,
        max_queued=config.max_queued,
        job_ttl=config.job_ttl,
        max_disk=config.max_disk,
        strength=config.strength,
        stages=[
            StageChoice(name=name, default=name in defaults, available=not stage_obstacle(name))
            for name in stage_names()
        ],
    )
