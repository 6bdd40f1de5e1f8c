"""Jobs as rows: the only place that writes the jobs table."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any, cast

import sqlalchemy as sa

from artscraper_gateway.db.engine import reading
from artscraper_gateway.db.tables import jobs, workers
from artscraper_gateway.jobs.events import Event, append_event, append_events
from artscraper_gateway.jobs.leases import WorkerGivenUp
from artscraper_gateway.jobs.models import CANCELLED, FAILED, Job, NewJob, Outcome
from artscraper_gateway.jobs.statements import (
    ADD,
    BEGIN_STAGE,
    CANCEL,
    DELETING,
    FAIL_UNHELD,
    FIND,
    FINISH,
    HOLD,
    PROGRESS,
    SHOWN,
    TAKE,
    WAITING,
)
from artscraper_gateway.webhooks.repository import add_delivery

_IDS_AT_ONCE = 500


class JobStore:
    """Reads and writes job rows. Every method is one transaction, and but for `add_disk_bytes` safe
    to repeat.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    def add(self, connection: sa.Connection, new: NewJob) -> Job:
        """Adds a queued job inside the caller's transaction and returns it."""
        now = time.time()
        row: dict[str, Any] = {
            **vars(new),
            "status": "queued",
            "submitted_at": now,
            "updated_at": now,
            "stage_attempts": 0,
            "watermark": new.request.watermark_payload,
        }
        connection.execute(ADD, {**row, "request": new.request.model_dump(mode="json")})
        return Job(**row)

    def find(self, job_id: str) -> Job | None:
        """Returns the job, or None when there is none or it is being deleted."""
        with reading(self.engine) as connection:
            row = connection.execute(FIND, {"job_id": job_id}).one_or_none()
        return None if row is None else Job.from_row(row._mapping)

    def marked_with(self, number: str) -> Job | None:
        """Returns the job whose picture carries the watermark `number`, 16 hex digits."""
        query = sa.select(jobs).where(jobs.c.watermark == number, jobs.c.status != DELETING)
        with reading(self.engine) as connection:
            row = connection.execute(query).first()
        return None if row is None else Job.from_row(row._mapping)

    def hold(self, job_id: str, *, worker: str) -> bool:
        """Gives the job to `worker`; False when it has ended, is being deleted or is another's.

        Raises:
            WorkerGivenUp: the worker's jobs have gone to others.
        """
        try:
            with self.engine.begin() as connection:
                values = {"job_id": job_id, "new_worker": worker}
                return connection.execute(HOLD, values).rowcount == 1
        except sa.exc.IntegrityError as error:
            raise WorkerGivenUp(worker) from error

    def begin_stage(
        self, job_id: str, stage: str, *, worker: str, progress: float = 0.0
    ) -> int | None:
        """Marks the job running in `stage`; returns how often this stage has been begun, from 1.

        `progress` is how much of the whole job lies behind it, 0..1. None means that the job is
        gone, cancelled or being deleted, so there is nothing to do.

        Raises:
            WorkerGivenUp: the worker's jobs have gone to others.
        """
        values = {
            "job_id": job_id,
            "new_stage": stage,
            "new_worker": worker,
            "new_progress": progress,
            "now": time.time(),
        }
        try:
            with self.engine.begin() as connection:
                row = connection.execute(BEGIN_STAGE, values).one_or_none()
                if row is None:
                    return None
                change = {"status": "running", "stage": stage, "progress": row.progress}
                append_event(connection, job_id, row.revision, "stage", change)
                return cast(int, row.stage_attempts)
        except sa.exc.IntegrityError as error:
            raise WorkerGivenUp(worker) from error

    def take(self, queue: str, stage: str, *, worker: str, at_most: int) -> list[Job]:
        """Marks jobs of `queue` that nobody holds running in `stage`, and returns them.

        Those that were left in mid-run come first.

        Raises:
            WorkerGivenUp: the worker's jobs have gone to others.
        """
        values = {"new_stage": stage, "new_worker": worker, "new_progress": 0.0}
        try:
            with self.engine.begin() as connection:
                ids: list[str] = []
                for status in ("running", "queued"):
                    wanted = {"in_status": status, "in_queue": queue, "at_most": at_most - len(ids)}
                    ids += connection.execute(WAITING, wanted).scalars()
                if not ids:
                    return []
                rows = connection.execute(TAKE, {**values, "ids": ids, "now": time.time()})
                taken = [Job.from_row(row._mapping) for row in rows]
                append_events(connection, [_begun(job, stage) for job in taken])
                return taken
        except sa.exc.IntegrityError as error:
            raise WorkerGivenUp(worker) from error

    def report_progress(self, job_id: str, progress: float, *, worker: str) -> None:
        """Records how much of the job is done, 0..1; it never goes back."""
        values = {
            "job_id": job_id,
            "new_progress": progress,
            "by_worker": worker,
            "now": time.time(),
        }
        with self.engine.begin() as connection:
            row = connection.execute(PROGRESS, values).one_or_none()
            if row is not None:
                change = {"status": "running", "stage": row.stage, "progress": row.progress}
                append_event(connection, job_id, row.revision, "progress", change)

    def finish_all(self, outcomes: Sequence[Outcome], *, worker: str) -> set[str]:
        """Ends jobs in one transaction, as done or as error, and returns which it has ended.

        Not one that is being deleted, has ended, or is not held by `worker`.
        """
        ends = []
        with self.engine.begin() as connection:
            for outcome in outcomes:
                code = FAILED if outcome.error else None
                values = {"by_worker": worker, "bytes": outcome.disk_bytes}
                end = _end(connection, FINISH, outcome.job_id, outcome.error, code, **values)
                ends += [end] if end else []
            append_events(connection, ends)
        return {end.job_id for end in ends}

    def cancel(self, job_id: str) -> bool:
        """Ends the job as error, cancelled; False when it had ended. Its worker stops by itself."""
        with self.engine.begin() as connection:
            end = _end(connection, CANCEL, job_id, "the job was cancelled", CANCELLED)
            append_events(connection, [end] if end else [])
        return end is not None

    def fail_unheld(self, job_id: str, reason: str) -> bool:
        """Ends an open job that nobody holds as error; False when there is no such job."""
        with self.engine.begin() as connection:
            end = _end(connection, FAIL_UNHELD, job_id, reason, FAILED)
            append_events(connection, [end] if end else [])
        return end is not None

    def is_wanted(self, job_id: str, *, worker: str) -> bool:
        """Whether the job is open and `worker` holds it: nobody has cancelled or deleted it."""
        job = self.find(job_id)
        return job is not None and job.worker == worker and not job.is_finished

    def mark_deleting(self, job_id: str) -> bool:
        """Hides the job from callers; False when there was none."""
        change = (
            sa.update(jobs)
            .where(jobs.c.id == job_id, jobs.c.status != DELETING)
            .values(status=DELETING, updated_at=time.time())
        )
        with self.engine.begin() as connection:
            return connection.execute(change).rowcount == 1

    def add_disk_bytes(self, job_id: str, count: int) -> None:
        """Counts what was kept for the job beside what it produced, or was removed of that."""
        self._update(jobs.c.id == job_id, disk_bytes=jobs.c.disk_bytes + count)

    def holder(self, job_id: str) -> str | None:
        """Returns the worker that holds the job, deleted or not; None when nobody does."""
        query = sa.select(jobs.c.worker).where(jobs.c.id == job_id)
        with reading(self.engine) as connection:
            return connection.execute(query).scalar_one_or_none()

    def is_registered(self, worker: str) -> bool:
        """Whether the worker may hold jobs; once it may not, it never may again."""
        query = sa.select(workers.c.id).where(workers.c.id == worker)
        with reading(self.engine) as connection:
            return connection.execute(query).first() is not None

    def let_go(self, job_id: str, *, worker: str) -> None:
        """The worker is through with the job, whatever became of it."""
        self._update(sa.and_(jobs.c.id == job_id, jobs.c.worker == worker), worker=None)

    def take_out(self, worker: str) -> None:
        """A worker that stops on purpose takes back the attempts it had begun, and leaves.

        Both or neither: its own threads must not find jobs lost while the worker is there, for
        that would mean that they were cancelled.
        """
        mine = sa.and_(jobs.c.worker == worker, jobs.c.status == "running")
        fewer = sa.case((jobs.c.stage_attempts > 0, jobs.c.stage_attempts - 1), else_=0)
        with self.engine.begin() as connection:
            connection.execute(sa.update(jobs).where(mine).values(stage_attempts=fewer))
            connection.execute(sa.delete(workers).where(workers.c.id == worker))

    def remove(self, job_id: str) -> None:
        """Forgets a job that is being deleted, with its events and deliveries."""
        with self.engine.begin() as connection:
            connection.execute(
                sa.delete(jobs).where(jobs.c.id == job_id, jobs.c.status == DELETING)
            )

    def deleting_ids(self) -> list[str]:
        """Returns the jobs whose deletion was begun and not finished."""
        query = sa.select(jobs.c.id).where(jobs.c.status == DELETING)
        with reading(self.engine) as connection:
            return list(connection.execute(query).scalars())

    def which_exist(self, job_ids: Collection[str]) -> set[str]:
        """Returns those of which there is a row, deleting or not."""
        wanted, found = sorted(job_ids), set()
        with reading(self.engine) as connection:
            for begin in range(0, len(wanted), _IDS_AT_ONCE):
                some = wanted[begin : begin + _IDS_AT_ONCE]
                query = sa.select(jobs.c.id).where(jobs.c.id.in_(some))
                found |= set(connection.execute(query).scalars())
        return found

    def _update(self, where: sa.ColumnElement[bool], **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.update(jobs).where(where).values(**values))


def _end(
    connection: sa.Connection,
    statement: sa.UpdateBase,
    job_id: str,
    reason: str | None,
    code: str | None,
    **values: Any,
) -> Event | None:
    """Ends a job, with its webhook; returns what is to be told of it, None = it was not open."""
    now = time.time()
    status = "error" if reason else "done"
    values |= {"job_id": job_id, "reason": reason, "code": code, "new_status": status}
    row = connection.execute(statement, {**values, "now": now}).mappings().one_or_none()
    if row is None:
        return None
    if row["callback_url"] is not None:
        add_delivery(connection, dict(row), now=now)
    change = {name: row[name] for name in SHOWN}
    return Event(job_id, row["revision"], "error" if reason else "done", change)


def _begun(job: Job, stage: str) -> Event:
    change = {"status": "running", "stage": stage, "progress": job.progress}
    return Event(job.id, job.revision, "stage", change)
