"""Tell everybody in this web process who follows jobs what happens to them.

Workers are other processes and the database is all that they share with this one. However many
follow, one task looks there, at all the jobs that are followed together, and only while anybody
follows.
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
from artscraper_gateway.errors import TooBusy
from artscraper_gateway.jobs.events import Event, events_after, revisions
from artscraper_gateway.jobs.models import Job

_log = logging.getLogger(__name__)
_QUICK_LOOK_S, _LOOK_S = 0.04, 0.2  # between two looks
_QUICK_FOR_S = 2.0  # after somebody began to follow: most jobs that are waited for are short
_ASK_CALLER_S = 2.0
_FOLLOWERS = 4000


@dataclass(eq=False)
class Follower:
    """What one who follows a job has not seen yet. Made by `JobWatch.follow`."""

    job_id: str
    seq: int  # of the newest event that was handed on or waits here
    _waiting: list[Event] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _gone: bool = False

    async def next_events(self, timeout_s: float) -> list[Event]:
        """Returns what happened since the last time; nothing when nothing does in `timeout_s`.

        Raises:
            LookupError: the job was deleted.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return []
        self._news.clear()
        taken, self._waiting = self._waiting, []
        if self._gone and not taken:
            raise LookupError("the job was deleted")
        return taken

    def tell(self, news: Iterable[Event]) -> None:
        """Hands on what is new. Of progress that nobody fetched only the newest is kept."""
        for event in news:
            if event.seq <= self.seq:
                continue
            if self._waiting and self._waiting[-1].kind == event.kind == "progress":
                self._waiting.pop()
            self._waiting.append(event)
            self.seq = event.seq
            self._news.set()

    def wake(self) -> None:
        """Ends the waiting for news, without any."""
        self._news.set()

    def tell_gone(self) -> None:
        """The job was deleted."""
        self._gone = True
        self._news.set()


class JobWatch:
    """Looks for changes of the jobs that somebody follows."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._followers: dict[str, set[Follower]] = {}
        self._count = 0
        self._newest_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self.is_over = False
        self._thread = CapacityLimiter(1)  # of its own: requests may have taken all others

    def check_room(self) -> None:
        """Refuses, before an answer is begun, a caller whom there is no room for.

        Raises:
            TooBusy: too many follow already.
        """
        if self._count >= _FOLLOWERS:
            raise TooBusy("Too many clients follow jobs; ask for the job's state instead.")

    @asynccontextmanager
    async def follow(self, job_id: str, *, after: int) -> AsyncIterator[Follower]:
        """Yields a follower that is told of the job's events behind number `after`.

        Raises:
            TooBusy: too many follow already.
        """
        self.check_room()
        follower = Follower(job_id, after)
        self._followers.setdefault(job_id, set()).add(follower)
        self._count += 1
        self._newest_s = time.monotonic()
        if self._task is None:
            self._task = asyncio.create_task(self._look_on())
        try:
            yield follower
        finally:
            self._count -= 1
            followers = self._followers[job_id]
            followers.discard(follower)
            if not followers:
                del self._followers[job_id]

    async def wait_for_end(
        self, job: Job, *, timeout_s: float, is_gone: Callable[[], Awaitable[bool]]
    ) -> None:
        """Returns when the job has ended or is deleted, or after `timeout_s`.

        `is_gone` says whether nobody waits any more.
        """
        if job.is_finished:
            return
        deadline = time.monotonic() + timeout_s
        async with self.follow(job.id, after=job.revision) as follower:
            while not self.is_over and not await is_gone():
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return
                try:
                    news = await follower.next_events(min(left_s, _ASK_CALLER_S))
                except LookupError:
                    return
                if any(event.is_last for event in news):
                    return

    def let_go(self) -> None:
        """Ends all waiting, now and later: who follows is to see `is_over`, and end his answer."""
        self.is_over = True
        for followers in self._followers.values():
            for follower in followers:
                follower.wake()

    async def close(self) -> None:
        """Stops looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look_on(self) -> None:
        try:
            while self._followers:
                quick = time.monotonic() - self._newest_s < _QUICK_FOR_S
                await asyncio.sleep(_QUICK_LOOK_S if quick else _LOOK_S)
                await self._look()
        finally:
            self._task = None

    async def _look(self) -> None:
        seen = {
            job_id: min(follower.seq for follower in followers)
            for job_id, followers in self._followers.items()
        }
        try:
            found = await run_sync(self._changes, seen, limiter=self._thread)
        except sa.exc.SQLAlchemyError:  # the database is away for a moment; so is the news
            _log.warning("the jobs that are followed cannot be looked at", exc_info=True)
            return
        for job_id, news in found.items():
            for follower in self._followers.get(job_id, ()):
                if news is None:
                    follower.tell_gone()
                else:
                    follower.tell(news)

    def _changes(self, seen: dict[str, int]) -> dict[str, list[Event] | None]:
        """Returns the new events of the jobs that have any; None for those that are gone."""
        found: dict[str, list[Event] | None] = {}
        with reading(self._engine) as connection:
            newest = revisions(connection, seen)
            for job_id, seq in seen.items():
                if job_id not in newest:
                    found[job_id] = None
                elif newest[job_id] > seq:
                    found[job_id] = events_after(connection, job_id, seq)
        return found
