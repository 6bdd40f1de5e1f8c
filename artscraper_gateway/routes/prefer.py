"""The `Prefer` header (RFC 7240): `respond-async` and `wait=N`."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from anyio.to_thread import run_sync

from artscraper_gateway.store import Job, JobStore

_LOOK_EVERY_S = 0.03


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


async def wait_for_end(store: JobStore, job: Job, *, timeout_s: float) -> Job:
    """Returns the job when it has finished, or as it is after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not job.is_finished and time.monotonic() < deadline:
        # The worker is another process: the database is the only place that both can see.
        await asyncio.sleep(_LOOK_EVERY_S)
        found: Job | None = await run_sync(store.find, job.id)
        job = found or job
    return job
