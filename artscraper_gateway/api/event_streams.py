"""Follow many jobs over one connection: a browser allows itself six to a server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from artscraper_gateway.api.authentication import Reader
from artscraper_gateway.api.context import Gateway
from artscraper_gateway.api.openapi import EVENTS
from artscraper_gateway.api.openapi_problems import problems
from artscraper_gateway.errors import InvalidRequest, NotFound, TooBusy
from artscraper_gateway.jobs.models import Job
from artscraper_gateway.jobs.watcher import Subscription

router = APIRouter(prefix="/v1/events", tags=["events"])
_AT_MOST = 100  # jobs of one stream; so many ids still make a URL that every proxy takes
_PLACES = 20  # jobs whose place in the queue is told; counting costs more the longer it is
_LOOK_S = 2.0  # between two looks at the queue, and for whether the caller is still there
_KEEP_ALIVE_S = 15.0
_RECONNECT_MS = 1000
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
JobIds = Annotated[
    list[str], Query(alias="job", min_length=1, max_length=_AT_MOST, description="jobs' ids")
]
Message = tuple[str, str]  # name and JSON
_OVER: Message = ("", "")  # the web process stops


@router.get(
    "",
    response_class=StreamingResponse,
    responses={200: EVENTS[200], **problems(InvalidRequest, TooBusy)},
)
async def follow_jobs(job_ids: JobIds, request: Request, used: Reader) -> StreamingResponse:
    """Streams `snapshot` of each job, then each change; the stream ends with the last job's end.

    Every event's data has its `job_id`. The changes are those of `/v1/jobs/{id}/events`, and
    `queue` with a new place of one that waits (of the first 20 asked for). A job that is not
    there, or no longer, is `deleted`. A client that reconnects gets snapshots again.
    """
    found = await run_sync(_find, used, dict.fromkeys(job_ids))
    if any(job is not None and not job.is_finished for job in found.values()):
        used.watch.check_room()
    return StreamingResponse(
        _Stream(used, request, found).chunks(), media_type="text/event-stream", headers=_HEADERS
    )


def _find(used: Gateway, job_ids: dict[str, None]) -> dict[str, Job | None]:
    found: dict[str, Job | None] = {}
    for job_id in job_ids:
        try:
            found[job_id] = used.job(job_id)
        except NotFound:
            found[job_id] = None
    return found


@dataclass
class _Stream:
    """What one caller follows."""

    used: Gateway
    request: Request
    found: dict[str, Job | None]
    _messages: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    _telling: list[asyncio.Task[None]] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yields the stream's bytes."""
        async with AsyncExitStack() as stack:
            for job_id, job in self.found.items():
                yield _formatted(*await run_sync(self._snapshot, job_id), retry=_RECONNECT_MS)
                if job is not None and not job.is_finished:
                    following = self.used.watch.subscribe(job_id, after=job.revision)
                    follower = await stack.enter_async_context(following)
                    self._telling.append(asyncio.create_task(self._tell(follower)))
                    stack.callback(self._telling[-1].cancel)
            async for chunk in self._changes():
                yield chunk

    async def _changes(self) -> AsyncIterator[bytes]:
        looked_at = said_at = time.monotonic()
        while not (self._messages.empty() and all(task.done() for task in self._telling)):
            try:
                async with asyncio.timeout(_LOOK_S):
                    message = await self._messages.get()
                if message == _OVER:
                    return
                yield _formatted(*message)
                said_at = time.monotonic()
            except TimeoutError:
                pass  # nothing happened
            if time.monotonic() - looked_at < _LOOK_S:
                continue
            looked_at = time.monotonic()
            if await self.request.is_disconnected():
                return
            await run_sync(self._tell_places)
            if looked_at - said_at > _KEEP_ALIVE_S:
                yield KEEPALIVE_COMMENT
                said_at = looked_at

    def _snapshot(self, job_id: str) -> Message:
        try:
            state = self.used.state(job_id)
        except NotFound:
            return "deleted", json.dumps({"job_id": job_id})
        if state.queue_position is not None and len(self._places) < _PLACES:
            self._places[job_id] = state.queue_position
        return "snapshot", state.model_dump_json()

    def _tell_places(self) -> None:
        if not self._places:
            return
        now = self.used.listing.positions(self._places)
        for job_id, place in now.items():
            if place != self._places[job_id]:
                data = json.dumps({"job_id": job_id, "queue_position": place})
                self._messages.put_nowait(("queue", data))
        self._places = now

    async def _tell(self, follower: Subscription) -> None:
        """Passes on what happens to one job until its end, or that of the web process."""
        while not self.used.watch.is_shut_down:
            try:
                news = await follower.next_events(_KEEP_ALIVE_S)
            except LookupError:
                gone = json.dumps({"job_id": follower.job_id})
                self._messages.put_nowait(("deleted", gone))
                return
            for event in news:
                data = json.dumps({"job_id": event.job_id, **event.data})
                self._messages.put_nowait((event.kind, data))
                if event.is_last:
                    return
        self._messages.put_nowait(_OVER)


def _formatted(event: str, data: str, retry: int | None = None) -> bytes:
    return format_sse_event(data_str=data, event=event, retry=retry)
