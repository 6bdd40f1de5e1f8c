"""Changes of jobs in their order: the events table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from artscraper_gateway.db.tables import events, jobs

Kind = Literal["stage", "progress", "done", "error"]
LAST = ("done", "error")
_IDS_PER_QUERY = 500

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
    """One change of a job; `seq` counts from 1, with gaps where progress was replaced."""

    job_id: str
    seq: int
    kind: Kind
    data: dict[str, Any]

    @property
    def is_last(self) -> bool:
        """Whether no event follows."""
        return self.kind in LAST


def append_event(
    connection: sa.Connection, job_id: str, seq: int, kind: Kind, data: dict[str, Any]
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
