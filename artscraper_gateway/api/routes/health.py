"""Liveness, readiness and metrics of this process."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Query, Request, Response
from pydantic import BaseModel

from artscraper_gateway.api.authentication import caller_with
from artscraper_gateway.api.context import services_of
from artscraper_gateway.api.openapi_problems import OPEN, problems
from artscraper_gateway.api.routes.router import ReadableRouter
from artscraper_gateway.api.schemas import example
from artscraper_gateway.errors import (
    DiskFull,
    Draining,
    InvalidRequest,
    NoRoomInQueue,
    StorageFailed,
    WorkersDown,
)

router = ReadableRouter(tags=["health"])
_one_at_a_time = CapacityLimiter(1)
_REASON = "(queue-full|disk-full|storage-failed|database-away|workers-down)"
Ignored = Annotated[
    str,
    Query(
        pattern=f"^({_REASON}(,{_REASON})*)?$",
        description="reasons to ignore, separated by commas",
    ),
]
_NO_STORE = {"Cache-Control": "no-store"}
METRICS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Metrics in Prometheus' text format.",
        "content": {
            "text/plain": {
                "schema": {"type": "string"},
                "example": 'artscraper_jobs{status="done"} 42.0\n',
            }
        },
    }
}


class Alive(BaseModel):
    """The process is alive."""

    model_config = example({"status": "alive"})

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """The process accepts requests."""

    model_config = example({"status": "ready"})

    status: Literal["ready"] = "ready"


@router.get("/livez")
async def get_liveness(response: Response) -> Alive:
    """Respond while the process runs; needs no API key."""
    response.headers.update(_NO_STORE)
    return Alive()


@router.get(
    "/readyz",
    responses=problems(
        Draining, NoRoomInQueue, DiskFull, StorageFailed, WorkersDown, InvalidRequest, common=OPEN
    ),
)
async def get_readiness(request: Request, response: Response, ignore: Ignored = "") -> Ready:
    """Respond with 200 while requests are accepted; needs no API key.

    503 with the code `draining`, `database-away`, `queue-full`, `disk-full`, `storage-failed` or
    `workers-down` otherwise. All
    gateways of a fleet share one queue and one database: `ignore=queue-full` keeps a load balancer
    from taking all of them out of service at once.
    """
    response.headers.update(_NO_STORE)
    await services_of(request).readiness.check(ignored=ignore.split(","))
    return Ready()


@router.get(
    "/metrics",
    responses={**METRICS, **problems()},
    response_class=Response,
)
async def get_metrics(request: Request) -> Response:
    """Return the counters of this machine, and the jobs and workers of the whole fleet.

    Needs the scope `admin` where there are API keys, unless the setting `open_metrics` is on.
    """
    services = services_of(request)
    if not services.config.open_metrics:
        await caller_with("admin")(request)
    accepted = request.headers.get("accept", "")
    text, media_type = await run_sync(services.collector.render, accepted, limiter=_one_at_a_time)
    return Response(text, headers={**_NO_STORE, "Content-Type": media_type})
