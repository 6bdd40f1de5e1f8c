"""Periodic cleanup: fail broken jobs, delete expired ones, enforce `max_disk`, drop records."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from dbos import DBOS

from artscraper_gateway.db.engine import reading
from artscraper_gateway.db.tables import batches, jobs
from artscraper_gateway.jobs.deletion import Deletion
from artscraper_gateway.jobs.idempotency import KEPT_S, drop_expired
from artscraper_gateway.jobs.models import DELETING, FINISHED
from artscraper_gateway.jobs.queue import JobQueue
from artscraper_gateway.settings.model import GatewayConfig

_log = logging.getLogger(__name__)
SCHEDULE = "retention"
_EVERY_MINUTE = "* * * * *"
_QUEUE_RECORD_S = 600.0  # how long the workflow record of an ended job is kept
_PER_QUERY = 200
_BROKEN = "internal error; the gateway's log has the reason"


@dataclass(frozen=True)
class Retention:
    """Periodic cleanup by the settings. Safe to run concurrently and to be killed."""

    config: GatewayConfig
    deletion: Deletion
    queue: JobQueue
    engine: sa.Engine
    clock: Callable[[], float] = time.time

    def register(self) -> Callable[[], None]:
        """Register the workflow with DBOS; must precede its launch.

        Returns:
            A function that puts it on schedule, to be called after the launch: every minute one
            of all workers runs it.
        """

        @DBOS.workflow(name=SCHEDULE, max_recovery_attempts=None)
        def run_retention(_scheduled_at: datetime, _context: Any) -> None:
            self.run_once()

        def put_on_schedule() -> None:
            DBOS.apply_schedules(
                [
                    {
                        "schedule_name": SCHEDULE,
                        "workflow_fn": run_retention,
                        "schedule": _EVERY_MINUTE,
                    }
                ]
            )

        return put_on_schedule

    def run_once(self) -> None:
        """Remove everything that is due now."""
        self._fail_broken()
        for job_id in self._expired():
            self._delete(job_id, "job_ttl has expired")
        for job_id in self._oldest_beyond_max_disk():
            self._delete(job_id, "the jobs take more than max_disk")
        now = self.clock()
        drop_expired(self.engine, now=now)
        self._drop_empty_batches(now)
        while (
            self.queue.forget_ended(before=now - _QUEUE_RECORD_S, at_most=_PER_QUERY) == _PER_QUERY
        ):
            pass

    def _fail_broken(self) -> None:
        """Fail jobs whose workflow failed before it could end them."""
        for job_id in self.queue.failed_workflow_ids():
            if self.deletion.store.fail_unleased(job_id, _BROKEN):
                _log.error("job %s failed: its workflow has ended in an error", job_id)

    def _delete(self, job_id: str, why: str) -> None:
        _log.info("deleting job %s: %s", job_id, why)
        self.deletion.delete(job_id)

    def _expired(self) -> Iterator[str]:
        """Yield the expired jobs; the caller deletes each before the next."""
        if self.config.job_ttl is None:
            return
        expired = jobs.c.finished_at < self.clock() - self.config.job_ttl
        while batch := self._finished(expired):
            yield from (job_id for job_id, _ in batch)

    def _oldest_beyond_max_disk(self) -> Iterator[str]:
        """Yield finished jobs, the oldest first, until the others fit in `max_disk`."""
        limit = self.config.max_disk
        if limit is None:
            return
        query = sa.select(sa.func.coalesce(sa.func.sum(jobs.c.disk_bytes), 0))
        with reading(self.engine) as connection:
            total = int(connection.execute(query.where(jobs.c.status != DELETING)).scalar_one())
        while total > limit:
            oldest = self._finished(sa.true())
            if not oldest:
                return
            for job_id, size in oldest:
                if total <= limit:
                    return
                yield job_id
                total -= size

    def _finished(self, condition: sa.ColumnElement[bool]) -> list[tuple[str, int]]:
        query = (
            sa.select(jobs.c.id, jobs.c.disk_bytes)
            .where(jobs.c.status.in_(FINISHED), condition)
            .order_by(jobs.c.finished_at)
            .limit(_PER_QUERY)
        )
        with reading(self.engine) as connection:
            return [(row.id, row.disk_bytes) for row in connection.execute(query)]

    def _drop_empty_batches(self, now: float) -> None:
        """Keep today's batches: their idempotency keys are still valid."""
        has_jobs = sa.exists().where(jobs.c.batch_id == batches.c.id)
        with self.engine.begin() as connection:
            old = batches.c.submitted_at < now - KEPT_S
            connection.execute(sa.delete(batches).where(old, sa.not_(has_jobs)))
