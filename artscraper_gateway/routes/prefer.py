"""The `Prefer` header (RFC 7240): `respond-async` and `wait=N`."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from anyio.to_thread import run_sync
from starlette.requests import Request

from artscraper_gateway.errors import NotFound
from artscraper_gateway.store import Job, JobStore

_FIRST_LOOK_S, _LAST_LOOK_S = 0.03, 0.25  # between two looks; longer jobs are looked at less


@dataclass(frozen=True)
class Preference:
    """What a caller prefers. `wait_s` None = not stated; anything unreadable is ignored."""

    respond_async: bool = False
    wait_s: float | None = None

    @classmethod
    def parse(cls, header: str) -> Preference:
        """Returns the preferences that a header states."""
        respond_async, wait_s = False, None
        for part in header.split(","):
            name, _, value = part.split(";")[0].strip().partition("=")
            value = value.strip().strip('"')
            if name.strip().lower() == "respond-async":
                respond_async = True
            elif name.strip().lower() == "wait" and value.isascii() and value.isdigit():
                wait_s = float(value[:9])
        return cls(respond_async, wait_s)


async def wait_for_end(store: JobStore, job: Job, request: Request, *, timeout_s: float) -> Job:
    """Returns the job when it has finished, or as it is after `timeout_s`.

    Ends early when the caller has gone.

    Raises:
        NotFound: the job was deleted meanwhile.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = _FIRST_LOOK_S
    while not job.is_finished and time.monotonic() < deadline:
        if await request.is_disconnected():
            break
        # The worker is another process: the database is the only place that both can see.
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.2, _LAST_LOOK_S)
        found = await run_sync(store.find, job.id)
        if found is None:
            raise NotFound("The job was deleted meanwhile.")
        job = found
    return job
