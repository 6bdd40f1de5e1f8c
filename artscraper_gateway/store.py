"""Jobs as rows: the only place that reads and writes the jobs table."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal, cast

import sqlalchemy as sa

from artscraper_gateway.database import jobs, workers
from artscraper_gateway.heartbeats import WorkerGivenUp

# queued -> running -> done | error; any of them -> deleting -> (no row).
Status = Literal["queued", "running", "done", "error"]
_DELETING = "deleting"
FINISHED = ("done", "error")


# Built once: building a statement costs more than running it on SQLite.
_IS_OPEN = sa.and_(jobs.c.id == sa.bindparam("job_id"), jobs.c.status.in_(("queued", "running")))
_FIND = sa.select(jobs).where(jobs.c.id == sa.bindparam("job_id"))
_ADD = sa.insert(jobs)
# A worker writes about a job that it holds, or takes one that nobody holds.
_IS_FREE_OR_MINE = sa.or_(jobs.c.worker.is_(None), jobs.c.worker == sa.bindparam("new_worker"))
_BEGIN_STAGE = (
    sa.update(jobs)
    .where(_IS_OPEN, _IS_FREE_OR_MINE)
    .values(
        status="running",
        stage=sa.bindparam("new_stage"),
        stage_attempts=sa.case(
            (jobs.c.stage == sa.bindparam("new_stage"), jobs.c.stage_attempts + 1), else_=1
        ),
        worker=sa.bindparam("new_worker"),
        started_at=sa.func.coalesce(jobs.c.started_at, sa.bindparam("now")),
        updated_at=sa.bindparam("now"),
    )
    .returning(jobs.c.stage_attempts)
)
_FINISH = (
    sa.update(jobs)
    .where(_IS_OPEN, jobs.c.worker == sa.bindparam("old_worker"))
    .values(
        status=sa.bindparam("new_status"),
        error=sa.bindparam("reason"),
        finished_at=sa.bindparam("now"),
        updated_at=sa.bindparam("now"),
        worker=None,
    )
)


@dataclass(frozen=True)
class Job:
    """One job as it stands. Times are seconds since 1970, UTC."""

    id: str
    status: Status
    request: dict[str, Any]
    source: str
    submitted_at: float
    updated_at: float
    started_at: float | None
    finished_at: float | None
    stage: str | None
    stage_attempts: int
    worker: str | None
    error: str | None
    watermark: str | None

    @property
    def is_finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in FINISHED


class JobStore:
    """Reads and writes job rows. Every method is one transaction and safe to repeat."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    def add(
        self, connection: sa.Connection, job_id: str, *, source: str, request: dict[str, Any]
    ) -> Job:
        """Adds a queued job inside the caller's transaction and returns it."""
        now = time.time()
        values: dict[str, Any] = {
            "id": job_id,
            "status": "queued",
            "request": request,
            "source": source,
            "submitted_at": now,
            "updated_at": now,
            "stage_attempts": 0,
            "watermark": request["protection"]["watermark_payload"],
        }
        connection.execute(_ADD, values)
        empty = dict.fromkeys(("started_at", "finished_at", "stage", "worker", "error"))
        return Job(**{**values, **empty})

    def find(self, job_id: str) -> Job | None:
        """Returns the job, or None when there is none or it is being deleted."""
        with self.engine.connect() as connection:
            row = connection.execute(_FIND, {"job_id": job_id}).one_or_none()
        if row is None or row.status == _DELETING:
            return None
        return Job(**row._mapping)

    def marked_with(self, number: str) -> str | None:
        """Returns the job whose picture carries the watermark `number`, 16 hex digits."""
        query = sa.select(jobs.c.id).where(jobs.c.watermark == number, jobs.c.status != _DELETING)
        with self.engine.connect() as connection:
            return connection.execute(query).scalars().first()

    def begin_stage(self, job_id: str, stage: str, *, worker: str) -> int | None:
        """Marks the job running in `stage`; returns how often this stage has been begun, from 1.

        None means that the job is gone or being deleted, so there is nothing to do.

        Raises:
            WorkerGivenUp: the worker's jobs have gone to others.
        """
        values = {"job_id": job_id, "new_stage": stage, "new_worker": worker, "now": time.time()}
        try:
            with self.engine.begin() as connection:
                result = connection.execute(_BEGIN_STAGE, values)
                return cast(int | None, result.scalar_one_or_none())
        except sa.exc.IntegrityError as error:
            raise WorkerGivenUp(worker) from error

    def finish(self, job_id: str, *, worker: str, error: str | None = None) -> bool:
        """Ends the job as done, or as error with the reason.

        False when it is being deleted, has ended, or is not held by `worker`.
        """
        values = {
            "job_id": job_id,
            "old_worker": worker,
            "new_status": "error" if error else "done",
            "reason": error,
            "now": time.time(),
        }
        with self.engine.begin() as connection:
            return connection.execute(_FINISH, values).rowcount == 1

    def is_wanted(self, job_id: str, *, worker: str) -> bool:
        """Whether the job exists, nobody has asked to delete it, and `worker` holds it."""
        job = self.find(job_id)
        return job is not None and job.worker == worker

    def mark_deleting(self, job_id: str) -> bool:
        """Hides the job from callers; False when there was none."""
        change = (
            sa.update(jobs)
            .where(jobs.c.id == job_id, jobs.c.status != _DELETING)
            .values(status=_DELETING, updated_at=time.time())
        )
        with self.engine.begin() as connection:
            return connection.execute(change).rowcount == 1

    def holder(self, job_id: str) -> str | None:
        """Returns the worker that holds the job, deleted or not; None when nobody does."""
        query = sa.select(jobs.c.worker).where(jobs.c.id == job_id)
        with self.engine.connect() as connection:
            return connection.execute(query).scalar_one_or_none()

    def is_registered(self, worker: str) -> bool:
        """Whether the worker may hold jobs; once it may not, it never may again."""
        query = sa.select(workers.c.id).where(workers.c.id == worker)
        with self.engine.connect() as connection:
            return connection.execute(query).first() is not None

    def let_go(self, job_id: str, *, worker: str) -> None:
        """The worker is through with the job, whatever became of it."""
        self._update(sa.and_(jobs.c.id == job_id, jobs.c.worker == worker), worker=None)

    def return_unfinished(self, worker: str) -> None:
        """A worker that stops on purpose takes back the attempts it had begun."""
        self._update(
            sa.and_(jobs.c.worker == worker, jobs.c.status == "running"),
            worker=None,
            stage_attempts=sa.case((jobs.c.stage_attempts > 0, jobs.c.stage_attempts - 1), else_=0),
        )

    def remove(self, job_id: str) -> None:
        """Forgets a job that is being deleted."""
        with self.engine.begin() as connection:
            connection.execute(
                sa.delete(jobs).where(jobs.c.id == job_id, jobs.c.status == _DELETING)
            )

    def deleting_ids(self) -> list[str]:
        """Returns the jobs whose deletion was begun and not finished."""
        query = sa.select(jobs.c.id).where(jobs.c.status == _DELETING)
        with self.engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def exists(self, job_id: str) -> bool:
        """Whether there is a row, deleting or not."""
        query = sa.select(jobs.c.id).where(jobs.c.id == job_id)
        with self.engine.connect() as connection:
            return connection.execute(query).first() is not None

    def _update(self, where: sa.ColumnElement[bool], **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.update(jobs).where(where).values(**values))
