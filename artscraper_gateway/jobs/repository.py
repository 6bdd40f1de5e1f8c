"""Read and write the rows of jobs, and their changes in order: the tables jobs and events."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from typing import Any, cast

import sqlalchemy as sa

from artscraper_gateway.db.engine import reading
from artscraper_gateway.db.tables import events, jobs
from artscraper_gateway.jobs.leases import LeaseLost
from artscraper_gateway.jobs.models import (
    CANCELLED,
    DELETING,
    FAILED,
    Event,
    EventKind,
    Job,
    NewJob,
    Outcome,
)
from artscraper_gateway.webhooks.repository import add_delivery

_IDS_PER_QUERY = 500
_CLAIM_S = 60.0
# Statements are built once: building one costs more than running it on SQLite.
_IS_OPEN = sa.and_(jobs.c.id == sa.bindparam("job_id"), jobs.c.status.in_(("queued", "running")))
_IS_MINE = jobs.c.worker == sa.bindparam("by_worker")
_IS_FREE_OR_MINE = sa.or_(jobs.c.worker.is_(None), _IS_MINE)
_FARTHER = sa.case(  # progress never goes back
    (jobs.c.progress < sa.bindparam("new_progress"), sa.bindparam("new_progress")),
    else_=jobs.c.progress,
)
_NEXT_REVISION = jobs.c.revision + 1
# If the clock was set back, the times of a job stay equal instead of running backwards.
_NOW = sa.case(
    (jobs.c.updated_at > sa.bindparam("now"), jobs.c.updated_at), else_=sa.bindparam("now")
)
_SAME_STAGE = jobs.c.stage == sa.bindparam("new_stage")
_FIND = sa.select(jobs).where(jobs.c.id == sa.bindparam("job_id"), jobs.c.status != DELETING)
_BEGIN_STAGE = (
    sa.update(jobs)
    .where(_IS_OPEN, _IS_FREE_OR_MINE)
    .values(
        status="running",
        stage=sa.bindparam("new_stage"),
        stage_attempts=sa.case((_SAME_STAGE, jobs.c.stage_attempts + 1), else_=1),
        progress=_FARTHER,
        revision=_NEXT_REVISION,
        worker=sa.bindparam("by_worker"),
        started_at=sa.func.coalesce(jobs.c.started_at, _NOW),
        updated_at=_NOW,
        # A later stage begins, so storage works again.
        retry_since=sa.case((_SAME_STAGE, jobs.c.retry_since), else_=None),
        retry_count=sa.case((_SAME_STAGE, jobs.c.retry_count), else_=0),
        retry_at=None,
        retry_reason=None,
    )
    .returning(jobs.c.stage_attempts, jobs.c.revision, jobs.c.progress)
)
_POSTPONE = (
    sa.update(jobs)
    .where(_IS_OPEN, _IS_MINE)
    .values(
        status="queued",
        worker=None,
        stage_attempts=sa.case((jobs.c.stage_attempts > 0, jobs.c.stage_attempts - 1), else_=0),
        revision=_NEXT_REVISION,
        updated_at=_NOW,
        retry_at=sa.bindparam("at"),
        retry_since=sa.func.coalesce(jobs.c.retry_since, sa.bindparam("now")),
        retry_count=jobs.c.retry_count + 1,
        retry_reason=sa.bindparam("reason"),
    )
    .returning(jobs.c.revision, jobs.c.stage, jobs.c.progress)
)
_PROGRESS = (
    sa.update(jobs)
    .where(_IS_OPEN, _IS_MINE)
    .values(progress=_FARTHER, revision=_NEXT_REVISION, updated_at=_NOW)
    .returning(jobs.c.revision, jobs.c.progress, jobs.c.stage)
)
_ENDED = {
    "status": sa.bindparam("new_status"),
    "error": sa.bindparam("reason"),
    "error_code": sa.bindparam("code"),
    "progress": sa.case((sa.bindparam("new_status") == "done", 1.0), else_=jobs.c.progress),
    "revision": _NEXT_REVISION,
    "finished_at": _NOW,
    "updated_at": _NOW,
    "retry_at": None,
    "retry_reason": None,
}
_IN_EVENTS = ("status", "stage", "progress", "error", "error_code")
_IN_WEBHOOKS = (
    "submitted_at",
    "finished_at",
    "id",
    "revision",
    "owner",
    "callback_url",
    "batch_id",
)
_RETURNED = [jobs.c[name] for name in (*_IN_EVENTS, *_IN_WEBHOOKS)]
_FINISH = (
    sa.update(jobs)
    .where(_IS_OPEN, _IS_MINE)
    .values(
        **_ENDED,
        worker=None,
        disk_bytes=sa.func.coalesce(sa.bindparam("bytes"), jobs.c.disk_bytes),
        results_in=sa.bindparam("results_in"),
    )
    .returning(*_RETURNED)
)
_FAIL_UNLEASED = (
    sa.update(jobs).where(_IS_OPEN, jobs.c.worker.is_(None)).values(**_ENDED).returning(*_RETURNED)
)
# The lease stays: the worker releases it once it has stopped.
_CANCEL = sa.update(jobs).where(_IS_OPEN).values(**_ENDED).returning(*_RETURNED)
_DROP_PROGRESS = sa.delete(events).where(
    events.c.job_id == sa.bindparam("of_job"), events.c.kind == "progress"
)
_AFTER = (
    sa.select(events)
    .where(events.c.job_id == sa.bindparam("of_job"), events.c.seq > sa.bindparam("after"))
    .order_by(events.c.seq)
)


class JobStore:
    """The jobs table. Every method is one transaction and, except `add_disk_bytes`, repeatable."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    def add(self, connection: sa.Connection, new: NewJob) -> Job:
        """Add a queued job in the caller's transaction and return it."""
        now = time.time()
        row: dict[str, Any] = {
            **vars(new),
            "status": "queued",
            "submitted_at": now,
            "updated_at": now,
            "stage_attempts": 0,
            "watermark": new.request.watermark_payload,
        }
        request = new.request.model_dump(mode="json")
        connection.execute(sa.insert(jobs), {**row, "request": request})
        return Job(**row)

    def find(self, job_id: str) -> Job | None:
        """Return the job; None if it is unknown or being deleted."""
        with reading(self.engine) as connection:
            row = connection.execute(_FIND, {"job_id": job_id}).one_or_none()
        return None if row is None else Job.from_row(row._mapping)

    def find_by_watermark(self, number: str) -> Job | None:
        """Return the job whose picture carries the watermark `number`, 16 hex digits."""
        query = sa.select(jobs).where(jobs.c.watermark == number, jobs.c.status != DELETING)
        with reading(self.engine) as connection:
            row = connection.execute(query).first()
        return None if row is None else Job.from_row(row._mapping)

    def begin_stage(
        self, job_id: str, stage: str, *, worker: str, progress: float = 0.0
    ) -> int | None:
        """Mark the job running in `stage`, leased to `worker`; `progress` of the job is 0..1.

        Returns:
            How often this stage has begun, from 1; None if the job is gone, cancelled or being
            deleted.

        Raises:
            LeaseLost: the worker was expired.
        """
        values = {
            "job_id": job_id,
            "new_stage": stage,
            "by_worker": worker,
            "new_progress": progress,
            "now": time.time(),
        }
        try:
            with self.engine.begin() as connection:
                row = connection.execute(_BEGIN_STAGE, values).one_or_none()
                if row is None:
                    return None
                change = {"status": "running", "stage": stage, "progress": row.progress}
                append_event(connection, job_id, row.revision, "stage", change)
                return cast(int, row.stage_attempts)
        except sa.exc.IntegrityError as error:
            raise LeaseLost(worker) from error

    def report_progress(self, job_id: str, progress: float, *, worker: str) -> None:
        """Record how much of the job is done, 0..1."""
        values = {"job_id": job_id, "new_progress": progress, "by_worker": worker}
        with self.engine.begin() as connection:
            row = connection.execute(_PROGRESS, {**values, "now": time.time()}).one_or_none()
            if row is not None:
                change = {"status": "running", "stage": row.stage, "progress": row.progress}
                append_event(connection, job_id, row.revision, "progress", change)

    def postpone(self, job_id: str, *, worker: str, reason: str, pause_s: float) -> bool:
        """Requeue a job to wait out a storage outage; False if `worker` has lost it.

        The attempt that it interrupted does not count.
        """
        now = time.time()
        values = {"job_id": job_id, "by_worker": worker, "reason": reason, "now": now}
        with self.engine.begin() as connection:
            row = connection.execute(_POSTPONE, {**values, "at": now + pause_s}).one_or_none()
            if row is None:
                return False
            change = {"status": "queued", "stage": row.stage, "progress": row.progress}
            append_event(connection, job_id, row.revision, "stage", change)
        return True

    def claim_due_retries(self) -> set[str]:
        """Return the ids of postponed jobs whose pause has passed; each to one caller a minute."""
        now = time.time()
        is_due = sa.and_(jobs.c.status == "queued", jobs.c.retry_at <= now, jobs.c.worker.is_(None))
        with reading(self.engine) as connection:
            if connection.execute(sa.select(jobs.c.id).where(is_due).limit(1)).first() is None:
                return set()
        claim = sa.update(jobs).where(is_due).values(retry_at=now + _CLAIM_S)
        with self.engine.begin() as connection:
            return set(connection.execute(claim.returning(jobs.c.id)).scalars())

    def finish(self, outcome: Outcome, *, worker: str) -> bool:
        """End the job as done or as error; False if it is not open or not leased to `worker`."""
        values = {
            "by_worker": worker,
            "bytes": outcome.disk_bytes,
            "results_in": outcome.results_in,
        }
        code = FAILED if outcome.error else None
        return self._end(_FINISH, outcome.job_id, outcome.error, code, **values)

    def cancel(self, job_id: str) -> bool:
        """End the job as error, cancelled; False if it had ended. Its worker notices and stops."""
        return self._end(_CANCEL, job_id, "the job was cancelled", CANCELLED)

    def fail_unleased(self, job_id: str, reason: str) -> bool:
        """End an open job that no worker has as error; False if there is no such job."""
        return self._end(_FAIL_UNLEASED, job_id, reason, FAILED)

    def is_wanted(self, job_id: str, *, worker: str) -> bool:
        """Return whether the job is open and leased to `worker`: not cancelled and not deleted."""
        job = self.find(job_id)
        return job is not None and job.worker == worker and not job.is_finished

    def mark_deleting(self, job_id: str) -> bool:
        """Hide the job from callers; False if there was none."""
        change = (
            sa.update(jobs)
            .where(jobs.c.id == job_id, jobs.c.status != DELETING)
            .values(status=DELETING, updated_at=time.time())
        )
        with self.engine.begin() as connection:
            return connection.execute(change).rowcount == 1

    def add_disk_bytes(self, job_id: str, count: int) -> None:
        """Add the size of files that were made for the job after its end."""
        grown = {"disk_bytes": jobs.c.disk_bytes + count}
        with self.engine.begin() as connection:
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(grown))

    def remove(self, job_id: str) -> None:
        """Remove a job that is being deleted, with its events and webhooks."""
        gone = sa.and_(jobs.c.id == job_id, jobs.c.status == DELETING)
        with self.engine.begin() as connection:
            connection.execute(sa.delete(jobs).where(gone))

    def results_in(self, job_id: str) -> str | None:
        """Return the `output_parent` of the job's results, also while it is being deleted."""
        query = sa.select(jobs.c.results_in).where(jobs.c.id == job_id)
        with reading(self.engine) as connection:
            return connection.execute(query).scalar_one_or_none()

    def deleting_ids(self) -> list[str]:
        """Return the ids of jobs whose deletion has not finished."""
        query = sa.select(jobs.c.id).where(jobs.c.status == DELETING)
        with reading(self.engine) as connection:
            return list(connection.execute(query).scalars())

    def existing_ids(self, job_ids: Collection[str]) -> set[str]:
        """Return the ids that exist, including jobs being deleted."""
        candidates, existing = sorted(job_ids), set()
        with reading(self.engine) as connection:
            for start in range(0, len(candidates), _IDS_PER_QUERY):
                some = candidates[start : start + _IDS_PER_QUERY]
                query = sa.select(jobs.c.id).where(jobs.c.id.in_(some))
                existing |= set(connection.execute(query).scalars())
        return existing

    def unleased_jobs(self) -> list[Job]:
        """Return the open jobs that no worker has."""
        is_open = jobs.c.status.in_(("queued", "running"))
        query = sa.select(jobs).where(is_open, jobs.c.worker.is_(None))
        with reading(self.engine) as connection:
            return [Job.from_row(row._mapping) for row in connection.execute(query)]

    def _end(
        self,
        statement: sa.UpdateBase,
        job_id: str,
        reason: str | None,
        code: str | None,
        **values: Any,
    ) -> bool:
        """End an open job, with its event and its webhook; False if it was not open."""
        now, status = time.time(), "error" if reason else "done"
        values |= {"job_id": job_id, "reason": reason, "code": code, "new_status": status}
        with self.engine.begin() as connection:
            row = connection.execute(statement, {**values, "now": now}).mappings().one_or_none()
            if row is None:
                return False
            if row["callback_url"] is not None:
                add_delivery(connection, dict(row), now=now)
            change = {name: row[name] for name in _IN_EVENTS}
            append_event(connection, job_id, row["revision"], "error" if reason else "done", change)
        return True


def append_event(
    connection: sa.Connection, job_id: str, seq: int, kind: EventKind, data: dict[str, Any]
) -> None:
    """Record a change in the transaction that makes it.

    `seq` is the job's revision, which that transaction has incremented, so concurrent changes of
    one job are ordered. Only the newest progress is kept.
    """
    if kind == "progress":
        connection.execute(_DROP_PROGRESS, {"of_job": job_id})
    row = {"job_id": job_id, "seq": seq, "kind": kind, "data": data}
    connection.execute(sa.insert(events), row)


def events_after(connection: sa.Connection, job_id: str, seq: int) -> list[Event]:
    """Return the events of the job after number `seq`."""
    rows = connection.execute(_AFTER, {"of_job": job_id, "after": seq})
    return [Event(**row._mapping) for row in rows]


def revisions(connection: sa.Connection, ids: Iterable[str]) -> dict[str, int]:
    """Return the number of the newest event of each job that still exists."""
    newest: dict[str, int] = {}
    job_ids = list(ids)
    for start in range(0, len(job_ids), _IDS_PER_QUERY):
        query = sa.select(jobs.c.id, jobs.c.revision).where(
            jobs.c.id.in_(job_ids[start : start + _IDS_PER_QUERY]), jobs.c.status != "deleting"
        )
        newest.update((row.id, row.revision) for row in connection.execute(query))
    return newest
