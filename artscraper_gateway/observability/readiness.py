"""Whether this process is to be sent requests, and why not."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass, field

import sqlalchemy as sa
from anyio import CapacityLimiter, fail_after
from anyio.to_thread import run_sync

from artscraper_gateway.db.engine import reading
from artscraper_gateway.db.tables import jobs
from artscraper_gateway.errors import DatabaseAway, DiskFull, Draining, GatewayError, NoRoomInQueue
from artscraper_gateway.settings.model import GatewayConfig

_FRESH_S = 1.0  # everybody may ask; nobody is to keep the database busy with it
_DATABASE_S = 3.0


@dataclass
class Readiness:
    """Looks at database, queue and disk, at most once a second. `is_draining` is set at the end."""

    config: GatewayConfig
    engine: sa.Engine
    is_draining: bool = False
    _problems: list[GatewayError] = field(default_factory=list)
    _looked_at: float = float("-inf")
    _one: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))
    _looks: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))

    async def check(self, *, ignored: Collection[str] = ()) -> None:
        """Returns when requests are welcome, but for reasons whose codes are `ignored`.

        Raises:
            Draining, DatabaseAway, NoRoomInQueue, DiskFull: they are not.
        """
        if self.is_draining:
            raise Draining("It finishes what it has; another one answers.")
        async with self._one:
            if time.monotonic() - self._looked_at >= _FRESH_S:
                self._problems = await self._look()
                self._looked_at = time.monotonic()
        for problem in self._problems:
            if problem.code not in ignored:
                raise problem

    async def _look(self) -> list[GatewayError]:
        found = [await self._queue_problem(), await run_sync(self._full_disk)]
        return [problem for problem in found if problem is not None]

    async def _queue_problem(self) -> GatewayError | None:
        try:
            with fail_after(_DATABASE_S):
                # Given up, not waited for: a server that is gone may not answer for minutes.
                queued = await run_sync(self._queued, limiter=self._looks, abandon_on_cancel=True)
        except (TimeoutError, sa.exc.SQLAlchemyError):
            return DatabaseAway()
        if queued >= self.config.max_queued:
            return NoRoomInQueue(f"{queued} jobs wait, and {self.config.max_queued} may.")
        return None

    def _queued(self) -> int:
        query = sa.select(sa.func.count()).where(jobs.c.status == "queued")
        with reading(self.engine) as connection:
            return int(connection.execute(query).scalar_one())

    def _full_disk(self) -> GatewayError | None:
        least = self.config.min_free_disk
        for name, folder in (
            ("base_dir", self.config.base_dir),
            ("output_parent", self.config.output_folder),
        ):
            try:
                free = shutil.disk_usage(folder).free
            except OSError as error:
                if name == "output_parent" and isinstance(error, FileNotFoundError):
                    continue  # it is made with the first results
                return DiskFull(f"{name} cannot be reached: {error.strerror}")
            if free < least:
                return DiskFull(f"{name} has {free} bytes free, and {least} are to be.")
        return None
