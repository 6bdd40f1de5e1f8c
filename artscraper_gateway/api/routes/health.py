"""Say whether the process lives, whether it wants requests, and what it counted."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from artscraper_gateway.api.authentication import allowed
from artscraper_gateway.api.context import Gateway
from artscraper_gateway.api.openapi_problems import OPEN, problems
from artscraper_gateway.errors import (
    DiskFull,
    Draining,
    InvalidRequest,
    NoRoomInQueue,
    StorageFailed,
    WorkersDown,
)

router = APIRouter(tags=["health"])
_one_at_a_time = CapacityLimiter(1)
_REASON = "(queue-full|disk-full|storage-failed|database-away|workers-down)"
Ignored = Annotated[
    str,
    Query(
        pattern=f"^({_REASON}(,{_REASON})*)?$",
        description="reasons that do not count, separated by commas",
    ),
]
_NOT_KEPT = {"Cache-Control": "no-store"}
METRICS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Figures in Prometheus' text form.",
        "content": {
            "text/plain": {
                "schema": {"type": "string"},
                "example": 'artscraper_jobs{status="done"} 42.0\n',
            }
        },
    }
}


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """The process wants requests."""

    status: Literal["ready"] = "ready"


@router.head("/livez", include_in_schema=False)
@router.get("/livez")
async def get_life(response: Response) -> Alive:
    """Returns while the process can answer at all; needs no API key."""
    response.headers.update(_NOT_KEPT)
    return Alive()


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    responses=problems(
        Draining, NoRoomInQueue, DiskFull, StorageFailed, WorkersDown, InvalidRequest, common=OPEN
    ),
)
async def get_readiness(request: Request, response: Response, ignore: Ignored = "") -> Ready:
    """Returns while requests are welcome; needs no API key.

    503 with the code `draining`, `database-away`, `queue-full`, `disk-full`, `storage-failed` or
    `workers-down` while they are not.
    All gateways of a fleet have one queue and one database: `ignore=queue-full` is for whoever
    would take all of them out of service at once.
    """
    gateway: Gateway = request.app.state.gateway
    response.headers.update(_NOT_KEPT)
    await gateway.readiness.check(ignored=ignore.split(","))
    return Ready()


@router.get(
    "/metrics",
    responses={**METRICS, **problems()},
    response_class=Response,
)
async def get_metrics(request: Request) -> Response:
    """Returns the figures of the whole fleet, from the database; the scope `admin` may.

    Everybody may where there are no API keys, or where the setting `open_metrics` says so.
    """
    gateway: Gateway = request.app.state.gateway
    if not gateway.config.open_metrics:
        gateway = await allowed("admin")(request)

    def render() -> tuple[bytes, str]:
        gateway.recorder.flush(gateway.store.engine)
        return gateway.exposition.render(request.headers.get("accept", ""))

    text, media_type = await run_sync(render, limiter=_one_at_a_time)
    return Response(text, headers={**_NOT_KEPT, "Content-Type": media_type})
