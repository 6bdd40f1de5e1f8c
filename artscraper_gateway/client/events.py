"""A job's events, put together to the job as it stands after each."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field

import httpx
from httpx_sse import ServerSentEvent

from artscraper_gateway.client.errors import NotFound, UnexpectedAnswer, WaitTimedOut
from artscraper_gateway.client.models import Job

_SILENCE_S = 45.0  # three of the gateway's keep-alives; after that the connection is taken for dead
RECONNECT_S = 0.5
_LONGEST_POLL_S = 30.0
_CHANGES = ("status", "stage", "progress", "error", "error_code")


@dataclass
class Story:
    """What has been heard of one job, over all connections."""

    job_id: str
    job: Job | None = None
    _last_event_id: str = ""
    _breaks: int = 0

    @property
    def is_over(self) -> bool:
        """Whether the last event was heard."""
        return self.job is not None and self.job.is_finished

    @property
    def poll_s(self) -> float:
        """How long to wait for the job's end by other means after connections that told nothing."""
        return min(2.0**self._breaks, _LONGEST_POLL_S) if self._breaks else 0.0

    def headers(self) -> dict[str, str]:
        """Returns what makes the next connection go on behind the last event."""
        resume = {"Last-Event-ID": self._last_event_id} if self._last_event_id else {}
        return {"Accept": "text/event-stream", "Cache-Control": "no-store", **resume}

    def take(self, event: ServerSentEvent) -> Job:
        """Returns the job as it stands after `event`.

        Raises:
            NotFound: the job was deleted.
            UnexpectedAnswer: no event of a job.
        """
        if event.event == "deleted":
            raise NotFound(404, "not-found", "Not found", "The job was deleted meanwhile.")
        try:
            data = json.loads(event.data)
            if event.event == "snapshot":
                self.job = Job.model_validate(data)
            elif self.job is None:
                raise ValueError("the first event is no snapshot")  # noqa: TRY301
            else:
                changes = {name: data[name] for name in _CHANGES if name in data}
                self.job = Job.model_validate({**self.job.model_dump(), **changes})
        except ValueError as error:
            raise UnexpectedAnswer(f"event {event.event[:80]!r} cannot be read: {error}") from error
        self._breaks = 0
        if event.id:
            self._last_event_id = event.id
        return self.job

    def take_answer(self, job: Job) -> None:
        """Takes the job as it was asked for after a connection broke; what events say counts."""
        self._breaks += 1
        if job.is_finished:
            self.job = job


@dataclass(frozen=True)
class Deadline:
    """When to stop waiting; `timeout_s` None = never."""

    timeout_s: float | None
    _begun: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float | None:
        """Seconds until then, 0 when it is past; None = for ever."""
        if self.timeout_s is None:
            return None
        return max(0.0, self._begun + self.timeout_s - time.monotonic())

    def check(self, what: str) -> None:
        """Raises WaitTimedOut when it is past."""
        if self.left_s == 0:
            raise WaitTimedOut(f"{what} had not ended after {self.timeout_s:g} s; it goes on")

    def capped(self, seconds: float) -> float:
        """Returns `seconds`, or what is left when that is less."""
        return seconds if self.left_s is None else min(seconds, self.left_s)

    def stream_timeout(self, connect_s: float) -> httpx.Timeout:
        """Returns how long a stream of events may be silent."""
        return httpx.Timeout(connect_s, read=max(0.01, self.capped(_SILENCE_S)))
