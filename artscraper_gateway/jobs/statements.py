"""The statements that write and find job rows, as `store.py` runs them.

Built once: building a statement costs more than running it on SQLite.
"""

from __future__ import annotations

import sqlalchemy as sa

from artscraper_gateway.db.tables import jobs

DELETING = "deleting"  # the status of a job whose files are being removed

_IS_OPEN = sa.and_(jobs.c.id == sa.bindparam("job_id"), jobs.c.status.in_(("queued", "running")))
FIND = sa.select(jobs).where(jobs.c.id == sa.bindparam("job_id"), jobs.c.status != DELETING)
ADD = sa.insert(jobs)
# A worker writes about a job that it holds, or takes one that nobody holds.
_IS_FREE_OR_MINE = sa.or_(jobs.c.worker.is_(None), jobs.c.worker == sa.bindparam("new_worker"))
_FARTHER = sa.case(
    (jobs.c.progress < sa.bindparam("new_progress"), sa.bindparam("new_progress")),
    else_=jobs.c.progress,
)
_NEXT = jobs.c.revision + 1
# Where the clock was put back, a job's times stand still instead of running backwards.
_NOW = sa.case(
    (jobs.c.updated_at > sa.bindparam("now"), jobs.c.updated_at), else_=sa.bindparam("now")
)
_BEGUN = {
    "status": "running",
    "stage": sa.bindparam("new_stage"),
    "stage_attempts": sa.case(
        (jobs.c.stage == sa.bindparam("new_stage"), jobs.c.stage_attempts + 1), else_=1
    ),
    "progress": _FARTHER,
    "revision": _NEXT,
    "worker": sa.bindparam("new_worker"),
    "started_at": sa.func.coalesce(jobs.c.started_at, _NOW),
    "updated_at": _NOW,
}
HOLD = sa.update(jobs).where(_IS_OPEN, _IS_FREE_OR_MINE).values(worker=sa.bindparam("new_worker"))
BEGIN_STAGE = (
    sa.update(jobs)
    .where(_IS_OPEN, _IS_FREE_OR_MINE)
    .values(**_BEGUN)
    .returning(jobs.c.stage_attempts, jobs.c.revision, jobs.c.progress)
)
# Of those that nobody holds, the first to be run. Ordered by one column, as the index is.
_others = jobs.alias()
WAITING = (
    sa.select(jobs.c.id)
    .where(
        jobs.c.status == sa.bindparam("in_status"),
        jobs.c.queue == sa.bindparam("in_queue"),
        jobs.c.worker.is_(None),
        jobs.c.priority
        == sa.select(sa.func.max(_others.c.priority))
        .where(
            _others.c.status == sa.bindparam("in_status"),
            _others.c.queue == sa.bindparam("in_queue"),
            _others.c.worker.is_(None),
        )
        .scalar_subquery(),
    )
    .order_by(jobs.c.submitted_at)
    .limit(sa.bindparam("at_most"))
    .with_for_update(skip_locked=True)
)
TAKE = (
    sa.update(jobs)
    .where(jobs.c.id.in_(sa.bindparam("ids", expanding=True)))
    .where(jobs.c.status.in_(("queued", "running")), jobs.c.worker.is_(None))
    .values(**_BEGUN)
    .returning(jobs)
)
PROGRESS = (
    sa.update(jobs)
    .where(_IS_OPEN, jobs.c.worker == sa.bindparam("by_worker"))
    .values(progress=_FARTHER, revision=_NEXT, updated_at=_NOW)
    .returning(jobs.c.revision, jobs.c.progress, jobs.c.stage)
)
_ENDED = {
    "status": sa.bindparam("new_status"),
    "error": sa.bindparam("reason"),
    "error_code": sa.bindparam("code"),
    "progress": sa.case((sa.bindparam("new_status") == "done", 1.0), else_=jobs.c.progress),
    "revision": _NEXT,
    "finished_at": _NOW,
    "updated_at": _NOW,
}
SHOWN = ("status", "stage", "progress", "error", "error_code")
_TIMES = ("submitted_at", "finished_at")
_TOLD = (*SHOWN, *_TIMES, "id", "revision", "owner", "callback_url", "batch_id")
_TELLING = [jobs.c[name] for name in _TOLD]
FINISH = (
    sa.update(jobs)
    .where(_IS_OPEN, jobs.c.worker == sa.bindparam("by_worker"))
    .values(
        **_ENDED,
        worker=None,
        disk_bytes=sa.func.coalesce(sa.bindparam("bytes"), jobs.c.disk_bytes),
    )
    .returning(*_TELLING)
)
# What the queue will never run again, and nobody runs.
FAIL_UNHELD = (
    sa.update(jobs).where(_IS_OPEN, jobs.c.worker.is_(None)).values(**_ENDED).returning(*_TELLING)
)
# The worker that holds the job lets go of it itself, once it has stopped.
CANCEL = sa.update(jobs).where(_IS_OPEN).values(**_ENDED).returning(*_TELLING)
