"""Follow a job by server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from artscraper_gateway.api.authentication import Reader
from artscraper_gateway.api.context import Gateway
from artscraper_gateway.api.openapi import EVENTS
from artscraper_gateway.api.openapi_problems import problems
from artscraper_gateway.api.schemas import JobState
from artscraper_gateway.errors import NotFound, TooBusy
from artscraper_gateway.jobs.events import Event
from artscraper_gateway.jobs.models import Job

router = APIRouter(prefix="/v1/jobs", tags=["events"])
_KEEP_ALIVE_S = 15.0
_RECONNECT_MS = 1000
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses={**EVENTS, **problems(NotFound, TooBusy)},
)
async def follow_job(
    job_id: str,
    request: Request,
    used: Reader,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Streams `snapshot`, the job as it stands, then each change until its end.

    The changes are `stage`, `progress` (two a second at most), `done`, `error` and `deleted`. With
    the Last-Event-ID of an earlier stream, from any web process, it goes on behind that event;
    of progress meanwhile only the newest is sent. When that was the last one the answer is 204,
    which tells an EventSource to stop asking.
    """
    job = await run_sync(used.job, job_id)
    seen = _number(last_event_id, job)
    if seen == job.revision and job.is_finished:
        return Response(status_code=204)
    if not job.is_finished:
        used.watch.check_room()
    return StreamingResponse(
        _stream(used, job, seen, request), media_type="text/event-stream", headers=_HEADERS
    )


def _number(last_event_id: str | None, job: Job) -> int | None:
    """The event that the client has seen; None when it says nothing that this job could say."""
    if last_event_id is None or not (last_event_id.isascii() and last_event_id.isdigit()):
        return None
    number = int(last_event_id[:18])
    return number if number <= job.revision else None


async def _stream(
    used: Gateway, job: Job, seen: int | None, request: Request
) -> AsyncIterator[bytes]:
    if seen is None:
        snapshot = JobState.of(job, ttl_s=used.config.job_ttl)
        yield format_sse_event(
            data_str=snapshot.model_dump_json(),
            event="snapshot",
            id=str(job.revision),
            retry=_RECONNECT_MS,
        )
        if job.is_finished:
            return
        seen = job.revision
    async with used.watch.subscribe(job.id, after=seen) as follower:
        while not used.watch.is_shut_down and not await request.is_disconnected():
            try:
                news = await follower.next_events(_KEEP_ALIVE_S)
            except LookupError:
                yield format_sse_event(data_str="{}", event="deleted")
                return
            for event in news:
                yield _formatted(event)
                if event.is_last:
                    return
            if not news:
                yield KEEPALIVE_COMMENT


def _formatted(event: Event) -> bytes:
    return format_sse_event(
        data_str=json.dumps({"job_id": event.job_id, **event.data}),
        event=event.kind,
        id=str(event.seq),
    )
