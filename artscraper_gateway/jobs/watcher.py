"""Deliver events of jobs to the subscribers in this web process.

Workers are other processes, and the database is all that they share with this one. However many
subscriptions there are, one task polls the database for all their jobs together, and only while
there are any.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import sqlalchemy as sa
from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from artscraper_gateway.db.engine import reading
from artscraper_gateway.db.retry import log_outage
from artscraper_gateway.errors import TooBusy
from artscraper_gateway.jobs.models import Event, Job
from artscraper_gateway.jobs.repository import events_after, revisions

_log = logging.getLogger(__name__)
_FAST_POLL_S, _POLL_S = 0.04, 0.2
_FAST_FOR_S = 2.0  # after a subscription: most jobs that clients wait for are short
_CHECK_CALLER_S = 2.0
_MAX_SUBSCRIPTIONS = 4000


@dataclass(eq=False)
class Subscription:
    """Events of one job that a subscriber has not read yet. Made by `JobWatch.subscribe`."""

    job_id: str
    seq: int  # of the newest event that was delivered or is pending
    _pending: list[Event] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _is_deleted: bool = False

    async def next_events(self, timeout_s: float) -> list[Event]:
        """Return the events since the last call; none if none come within `timeout_s`.

        Raises:
            LookupError: the job was deleted.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return []
        self._changed.clear()
        events, self._pending = self._pending, []
        if self._is_deleted and not events:
            raise LookupError("the job was deleted")
        return events

    def publish(self, events: Iterable[Event]) -> None:
        """Add new events. Of unread progress only the newest is kept."""
        for event in events:
            if event.seq <= self.seq:
                continue
            if self._pending and self._pending[-1].kind == event.kind == "progress":
                self._pending.pop()
            self._pending.append(event)
            self.seq = event.seq
            self._changed.set()

    def wake(self) -> None:
        """End the waiting for events, without any."""
        self._changed.set()

    def mark_deleted(self) -> None:
        """End the subscription of a job that was deleted."""
        self._is_deleted = True
        self._changed.set()


class JobWatch:
    """Polls for changes of the jobs that have subscriptions."""

    def __init__(self, engine: sa.Engine) -> None:
        self.is_shut_down = False
        self._engine = engine
        self._subscriptions: dict[str, set[Subscription]] = {}
        self._count = 0
        self._subscribed_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._thread = CapacityLimiter(1)  # of its own: requests may have taken all others

    def check_room(self) -> None:
        """Raise TooBusy, before a response is started, if there are too many subscriptions."""
        if self._count >= _MAX_SUBSCRIPTIONS:
            raise TooBusy("Too many clients follow jobs; poll the job's state instead.")

    @asynccontextmanager
    async def subscribe(self, job_id: str, *, after: int) -> AsyncIterator[Subscription]:
        """Yield a subscription to the job's events after number `after`.

        Raises:
            TooBusy: there are too many.
        """
        self.check_room()
        subscription = Subscription(job_id, after)
        self._subscriptions.setdefault(job_id, set()).add(subscription)
        self._count += 1
        self._subscribed_at = time.monotonic()
        if self._task is None:
            self._task = asyncio.create_task(self._poll())
        try:
            yield subscription
        finally:
            self._count -= 1
            subscriptions = self._subscriptions[job_id]
            subscriptions.discard(subscription)
            if not subscriptions:
                del self._subscriptions[job_id]

    async def wait_for_end(
        self, job: Job, *, timeout_s: float, is_gone: Callable[[], Awaitable[bool]]
    ) -> None:
        """Return when the job has ended or is deleted, or after `timeout_s`.

        `is_gone` returns whether the client has disconnected.
        """
        if job.is_finished:
            return
        deadline = time.monotonic() + timeout_s
        async with self.subscribe(job.id, after=job.revision) as subscription:
            while not self.is_shut_down and not await is_gone():
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return
                try:
                    events = await subscription.next_events(min(left_s, _CHECK_CALLER_S))
                except LookupError:
                    return
                if any(event.is_last for event in events):
                    return

    def shutdown(self) -> None:
        """End current and later waits: subscribers check `is_shut_down` and end."""
        self.is_shut_down = True
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.wake()

    async def close(self) -> None:
        """Stop polling."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _poll(self) -> None:
        try:
            while self._subscriptions:
                fast = time.monotonic() - self._subscribed_at < _FAST_FOR_S
                await asyncio.sleep(_FAST_POLL_S if fast else _POLL_S)
                await self._deliver()
        finally:
            self._task = None

    async def _deliver(self) -> None:
        seen = {
            job_id: min(each.seq for each in subscriptions)
            for job_id, subscriptions in self._subscriptions.items()
        }
        try:
            changes = await run_sync(self._changes, seen, limiter=self._thread)
        except sa.exc.SQLAlchemyError as error:  # a later poll finds what this one missed
            log_outage(_log, "events cannot be read for now", error)
            return
        for job_id, events in changes.items():
            for subscription in self._subscriptions.get(job_id, ()):
                if events is None:
                    subscription.mark_deleted()
                else:
                    subscription.publish(events)

    def _changes(self, seen: dict[str, int]) -> dict[str, list[Event] | None]:
        """Return the new events of the jobs that have any; None for jobs that are gone."""
        changes: dict[str, list[Event] | None] = {}
        with reading(self._engine) as connection:
            newest = revisions(connection, seen)
            for job_id, seq in seen.items():
                if job_id not in newest:
                    changes[job_id] = None
                elif newest[job_id] > seq:
                    changes[job_id] = events_after(connection, job_id, seq)
        return changes
