"""Checks whether this process should receive requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import sqlalchemy as sa
from anyio import CapacityLimiter, fail_after
from anyio.to_thread import run_sync

from artscraper_gateway.db.engine import check_writable, reading
from artscraper_gateway.db.tables import jobs
from artscraper_gateway.errors import (
    DatabaseAway,
    Draining,
    GatewayError,
    NoRoomInQueue,
    StorageFailed,
    WorkersDown,
)
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import StorageHealth

_FRESH_S = 1.0  # needs no key, and must not keep the database busy
_DATABASE_S = 3.0
_STORAGE_S = 15.0


@dataclass
class Readiness:
    """Checks database, queue, storage and workers, at most once a second.

    `workers_problem` returns the problem of this machine's workers, if any.
    """

    config: GatewayConfig
    engine: sa.Engine
    health: StorageHealth
    workers_problem: Callable[[], str | None] = lambda: None
    is_draining: bool = False
    _problems: list[GatewayError] = field(default_factory=list)
    _looked_at: float = float("-inf")
    _one: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))
    _looks: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))
    _checks: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))

    async def check(self, *, ignored: Collection[str] = ()) -> None:
        """Return if requests can be accepted, apart from the `ignored` problem codes.

        Raises:
            Draining, DatabaseAway, NoRoomInQueue, DiskFull, StorageFailed, WorkersDown: they are
                not.
        """
        if self.is_draining:
            raise Draining("It is shutting down; another instance takes over.")
        async with self._one:
            if time.monotonic() - self._looked_at >= _FRESH_S:
                self._problems = await self._look()
                self._looked_at = time.monotonic()
        for problem in self._problems:
            if problem.code not in ignored:
                raise problem

    async def _look(self) -> list[GatewayError]:
        hung = self.workers_problem()
        problems = [
            await self._queue_problem(),
            await self._storage_problem(),
            WorkersDown(f"{hung}; jobs are accepted and wait.") if hung else None,
        ]
        return [problem for problem in problems if problem is not None]

    async def _storage_problem(self) -> GatewayError | None:
        try:
            with fail_after(_STORAGE_S):  # a network file system that is gone may block for ever
                return await run_sync(
                    self.health.problem, limiter=self._checks, abandon_on_cancel=True
                )
        except TimeoutError:
            return StorageFailed("Storage does not respond.")

    async def _queue_problem(self) -> GatewayError | None:
        try:
            with fail_after(_DATABASE_S):
                # Abandoned, not awaited: an unreachable server may not respond for minutes.
                queued = await run_sync(self._queued, limiter=self._looks, abandon_on_cancel=True)
        except (TimeoutError, sa.exc.SQLAlchemyError):
            return DatabaseAway()
        if queued >= self.config.max_queued:
            return NoRoomInQueue(f"{queued} of at most {self.config.max_queued} jobs wait.")
        return None

    def _queued(self) -> int:
        check_writable(self.engine)
        query = sa.select(sa.func.count()).where(jobs.c.status == "queued")
        with reading(self.engine) as connection:
            return int(connection.execute(query).scalar_one())
