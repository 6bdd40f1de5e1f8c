"""What happened to jobs, in the order it happened to each: the events table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from artscraper_gateway.db.tables import events, jobs

Kind = Literal["stage", "progress", "done", "error"]
LAST = ("done", "error")
_IDS_AT_ONCE = 500  # bound parameters of one statement

_APPEND = sa.insert(events)
_DROP_PROGRESS = sa.delete(events).where(
    events.c.job_id == sa.bindparam("of_job"), events.c.kind == "progress"
)
_AFTER = (
    sa.select(events)
    .where(events.c.job_id == sa.bindparam("of_job"), events.c.seq > sa.bindparam("after"))
    .order_by(events.c.seq)
)


@dataclass(frozen=True)
class Event:
    """One change of a job; `seq` counts from 1 in each job, with gaps where progress was."""

    job_id: str
    seq: int
    kind: Kind
    data: dict[str, Any]

    @property
    def is_last(self) -> bool:
        """Whether nothing follows."""
        return self.kind in LAST


def append_event(
    connection: sa.Connection, job_id: str, seq: int, kind: Kind, data: dict[str, Any]
) -> None:
    """Records a change in the transaction that makes it.

    `seq` is the job's revision, which that transaction has raised: so two that change one job at
    once come one after the other. Of progress only the newest is kept.
    """
    if kind == "progress":
        connection.execute(_DROP_PROGRESS, {"of_job": job_id})
    append_events(connection, [Event(job_id, seq, kind, data)])


def append_events(connection: sa.Connection, changes: Sequence[Event]) -> None:
    """Records changes of several jobs, at most one each, as `append_event` does one."""
    rows = [vars(change) for change in changes]
    if rows:
        connection.execute(_APPEND, rows if len(rows) > 1 else rows[0])


def events_after(connection: sa.Connection, job_id: str, seq: int) -> list[Event]:
    """Returns what happened to the job after its event `seq`."""
    rows = connection.execute(_AFTER, {"of_job": job_id, "after": seq})
    return [Event(**row._mapping) for row in rows]


def revisions(connection: sa.Connection, ids: Iterable[str]) -> dict[str, int]:
    """Returns the number of the newest event of each job that still exists."""
    found: dict[str, int] = {}
    wanted = list(ids)
    for start in range(0, len(wanted), _IDS_AT_ONCE):
        query = sa.select(jobs.c.id, jobs.c.revision).where(
            jobs.c.id.in_(wanted[start : start + _IDS_AT_ONCE]), jobs.c.status != "deleting"
        )
        found.update((row.id, row.revision) for row in connection.execute(query))
    return found
