"""A job's server-sent events, folded into the job's state."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime

import httpx
from httpx_sse import ServerSentEvent

from .errors import NotFound, UnexpectedResponse, WaitTimedOut
from .models import Job
from .parsing import build

RECONNECT_S = 0.5
_SILENCE_S = 45.0  # three keep-alive intervals; after that the connection counts as broken
_MAX_POLL_S = 30.0
_CHANGES = ("status", "stage", "progress", "error", "error_code")


@dataclass
class JobEventStream:
    """The events of one job over all connections."""

    job_id: str
    job: Job | None = None
    _last_event_id: str = ""
    _breaks: int = 0

    @property
    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self.job is not None and self.job.is_finished

    @property
    def poll_s(self) -> float:
        """Seconds to wait for the job by polling, longer after each silent connection."""
        return min(2.0**self._breaks, _MAX_POLL_S) if self._breaks else 0.0

    def headers(self) -> dict[str, str]:
        """Return the headers that resume the stream after the last event."""
        resume = {"Last-Event-ID": self._last_event_id} if self._last_event_id else {}
        return {"Accept": "text/event-stream", "Cache-Control": "no-store", **resume}

    def apply(self, event: ServerSentEvent) -> Job:
        """Return the job after `event`.

        Raises:
            NotFound: the job was deleted.
            UnexpectedResponse: not an event of a job.
        """
        if event.event == "deleted":
            raise NotFound(404, "not-found", "Not found", "The job was deleted.")
        try:
            data = json.loads(event.data)
        except ValueError as error:
            raise UnexpectedResponse(f"event {event.event[:80]!r} is not JSON: {error}") from error
        if event.event == "snapshot":
            self.job = build(Job, data)
        elif self.job is None or not isinstance(data, dict):
            raise UnexpectedResponse(f"event {event.event[:80]!r} came before a snapshot")
        else:
            changes = {name: data[name] for name in _CHANGES if name in data}
            self.job = _changed(self.job, changes)
        self._breaks = 0
        if event.id:
            self._last_event_id = event.id
        return self.job

    def apply_poll(self, job: Job) -> None:
        """Take the job as polled after a connection broke; only its end counts."""
        self._breaks += 1
        if job.is_finished:
            self.job = job


def _changed(job: Job, changes: dict[str, object]) -> Job:
    state = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(job).items()
    }
    return build(Job, {**state, **changes})


@dataclass(frozen=True)
class Deadline:
    """The end of a wait; `timeout_s` None waits without limit."""

    timeout_s: float | None
    _begun: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float | None:
        """Seconds left, 0 once it is past; None without limit."""
        if self.timeout_s is None:
            return None
        return max(0.0, self._begun + self.timeout_s - time.monotonic())

    def check(self, what: str) -> None:
        """Raise WaitTimedOut if the deadline is past."""
        if self.left_s == 0:
            raise WaitTimedOut(f"{what} did not end within {self.timeout_s:g} s; it continues")

    def capped(self, seconds: float) -> float:
        """Return `seconds`, or the seconds left if fewer."""
        return seconds if self.left_s is None else min(seconds, self.left_s)

    def stream_timeout(self, connect_s: float) -> httpx.Timeout:
        """Return the timeout of an event stream, which may be silent for a while."""
        return httpx.Timeout(connect_s, read=max(0.01, self.capped(_SILENCE_S)))
