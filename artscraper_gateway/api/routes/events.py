"""Follow jobs by server-sent events: one job, or many over one connection.

A browser allows itself six connections to a server, so a page follows all its jobs over one.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from artscraper_gateway.api.authentication import ReadJobs
from artscraper_gateway.api.context import CallerJobs, Watch
from artscraper_gateway.api.openapi import EVENTS
from artscraper_gateway.api.openapi_problems import problems
from artscraper_gateway.api.routes.router import ReadableRouter
from artscraper_gateway.errors import InvalidRequest, NotFound, TooBusy
from artscraper_gateway.jobs.models import Job
from artscraper_gateway.jobs.watcher import JobWatch, Subscription

router = ReadableRouter(prefix="/v1", tags=["events"])
_MAX_JOBS = 100  # of one stream; so many ids still make a URL that every proxy accepts
_MAX_POSITIONS = 20  # jobs whose queue position is reported; each position is counted again
_POLL_S = 2.0  # between two polls of the queue, and of the client's connection
_KEEP_ALIVE_S = 15.0
_RECONNECT_MS = 1000
JobIds = Annotated[
    list[str], Query(alias="job", min_length=1, max_length=_MAX_JOBS, description="ids of jobs")
]
Message = tuple[str, str]  # name and JSON
_END: Message = ("", "")  # the web process stops


@router.get(
    "/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses={**EVENTS, **problems(NotFound, TooBusy)},
)
async def follow_job(
    job_id: str,
    request: Request,
    jobs: ReadJobs,
    watch: Watch,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Stream `snapshot`, the job's current state, then each change until its end.

    The changes are `stage`, `progress` (two a second at most), `done`, `error` and `deleted`. With
    the Last-Event-ID of an earlier stream, from any web process, the stream continues after that
    event; of progress in between only the newest is sent. If that event was the last one the
    answer is 204, which makes an EventSource stop.
    """
    job = await run_sync(jobs.find, job_id)
    seen = _event_number(last_event_id, job)
    if seen == job.revision and job.is_finished:
        return Response(status_code=204)
    if not job.is_finished:
        watch.check_room()
    return _response(request, _stream_job(jobs, watch, job, seen, request))


def _event_number(last_event_id: str | None, job: Job) -> int | None:
    """Return the event that the client has seen; None if the job has no such event."""
    if last_event_id is None or not (last_event_id.isascii() and last_event_id.isdigit()):
        return None
    number = int(last_event_id[:18])
    return number if number <= job.revision else None


async def _stream_job(
    jobs: CallerJobs, watch: JobWatch, job: Job, seen: int | None, request: Request
) -> AsyncIterator[bytes]:
    if seen is None:
        snapshot = jobs.describe(job).model_dump_json(by_alias=True)
        yield _format("snapshot", snapshot, number=job.revision, retry=_RECONNECT_MS)
        if job.is_finished:
            return
        seen = job.revision
    async with watch.subscribe(job.id, after=seen) as subscription:
        while not watch.is_shut_down and not await request.is_disconnected():
            try:
                news = await subscription.next_events(_KEEP_ALIVE_S)
            except LookupError:
                yield _format("deleted", "{}")
                return
            for event in news:
                data = json.dumps({"job_id": event.job_id, **event.data})
                yield _format(event.kind, data, number=event.seq)
                if event.is_last:
                    return
            if not news:
                yield KEEPALIVE_COMMENT


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: EVENTS[200], **problems(InvalidRequest, TooBusy)},
)
async def follow_jobs(job_ids: JobIds, request: Request, jobs: ReadJobs, watch: Watch) -> Response:
    """Stream `snapshot` of each job, then each change; the stream ends with the last job.

    Every event's data has its `job_id`. The changes are those of `/v1/jobs/{job_id}/events`, and
    `queue` with a new place of a waiting job (of the first 20). A job that does not exist, or no
    longer, is `deleted`. A client that reconnects gets snapshots again.
    """
    followed = await run_sync(_find_all, jobs, dict.fromkeys(job_ids))
    if any(job is not None and not job.is_finished for job in followed.values()):
        watch.check_room()
    return _response(request, _Stream(jobs, watch, request, followed).chunks())


def _response(request: Request, chunks: AsyncIterator[bytes]) -> Response:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.method == "HEAD":
        return Response(headers=headers, media_type="text/event-stream")
    return StreamingResponse(chunks, media_type="text/event-stream", headers=headers)


def _find_all(jobs: CallerJobs, job_ids: dict[str, None]) -> dict[str, Job | None]:
    followed: dict[str, Job | None] = {}
    for job_id in job_ids:
        try:
            followed[job_id] = jobs.find(job_id)
        except NotFound:
            followed[job_id] = None
    return followed


@dataclass
class _Stream:
    """The stream of one client that follows several jobs."""

    jobs: CallerJobs
    watch: JobWatch
    request: Request
    followed: dict[str, Job | None]
    _messages: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    _forwarders: list[asyncio.Task[None]] = field(default_factory=list)
    _positions: dict[str, int] = field(default_factory=dict)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the stream's bytes."""
        async with AsyncExitStack() as stack:
            for job_id, job in self.followed.items():
                yield _format(*await run_sync(self._snapshot, job_id), retry=_RECONNECT_MS)
                if job is not None and not job.is_finished:
                    subscribing = self.watch.subscribe(job_id, after=job.revision)
                    subscription = await stack.enter_async_context(subscribing)
                    self._forwarders.append(asyncio.create_task(self._forward(subscription)))
                    stack.callback(self._forwarders[-1].cancel)
            async for chunk in self._changes():
                yield chunk

    async def _changes(self) -> AsyncIterator[bytes]:
        polled_at = sent_at = time.monotonic()
        while not (self._messages.empty() and all(task.done() for task in self._forwarders)):
            try:
                async with asyncio.timeout(_POLL_S):
                    message = await self._messages.get()
                if message == _END:
                    return
                yield _format(*message)
                sent_at = time.monotonic()
            except TimeoutError:
                pass  # nothing happened
            if time.monotonic() - polled_at < _POLL_S:
                continue
            polled_at = time.monotonic()
            if await self.request.is_disconnected():
                return
            await run_sync(self._report_positions)
            if polled_at - sent_at > _KEEP_ALIVE_S:
                yield KEEPALIVE_COMMENT
                sent_at = polled_at

    def _snapshot(self, job_id: str) -> Message:
        try:
            state = self.jobs.state(job_id)
        except NotFound:
            return "deleted", json.dumps({"job_id": job_id})
        if state.queue_position is not None and len(self._positions) < _MAX_POSITIONS:
            self._positions[job_id] = state.queue_position
        return "snapshot", state.model_dump_json(by_alias=True)

    def _report_positions(self) -> None:
        if not self._positions:
            return
        current = self.jobs.listing.positions(self._positions)
        for job_id, position in current.items():
            if position != self._positions[job_id]:
                data = json.dumps({"job_id": job_id, "queue_position": position})
                self._messages.put_nowait(("queue", data))
        self._positions = current

    async def _forward(self, subscription: Subscription) -> None:
        """Forward the events of one job until its end, or that of the web process."""
        while not self.watch.is_shut_down:
            try:
                news = await subscription.next_events(_KEEP_ALIVE_S)
            except LookupError:
                data = json.dumps({"job_id": subscription.job_id})
                self._messages.put_nowait(("deleted", data))
                return
            for event in news:
                data = json.dumps({"job_id": event.job_id, **event.data})
                self._messages.put_nowait((event.kind, data))
                if event.is_last:
                    return
        self._messages.put_nowait(_END)


def _format(event: str, data: str, *, number: int | None = None, retry: int | None = None) -> bytes:
    event_id = None if number is None else str(number)
    return format_sse_event(data_str=data, event=event, id=event_id, retry=retry)
