"""Jobs as shown to callers: one with its queue position, or a page of many."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import sqlalchemy as sa
from pydantic import Field, TypeAdapter

from artscraper_gateway.db.engine import reading
from artscraper_gateway.db.tables import jobs
from artscraper_gateway.errors import InvalidRequest
from artscraper_gateway.jobs.models import DELETING, Job, Status

_ahead = jobs.alias("ahead")
_IS_AHEAD = sa.and_(
    _ahead.c.status == "queued",
    _ahead.c.queue == jobs.c.queue,
    sa.or_(
        _ahead.c.priority > jobs.c.priority,
        sa.and_(_ahead.c.priority == jobs.c.priority, _ahead.c.submitted_at < jobs.c.submitted_at),
    ),
)
_POSITION = sa.case(
    (
        jobs.c.status == "queued",
        sa.select(sa.func.count() + 1).select_from(_ahead).where(_IS_AHEAD).scalar_subquery(),
    )
).label("queue_position")
_POSITION_OF_PAGE = TypeAdapter(
    tuple[
        Annotated[float, Field(strict=True, allow_inf_nan=False)],
        Annotated[str, Field(pattern="^[0-9a-f]{32}$")],
    ]
)
_SHOW = sa.select(jobs, _POSITION).where(
    jobs.c.id == sa.bindparam("job_id"), jobs.c.status != DELETING
)


@dataclass(frozen=True)
class JobView:
    """A job with its place in its queue: 1 is next; None if it does not wait, or in lists."""

    job: Job
    queue_position: int | None = None


@dataclass(frozen=True)
class Page:
    """Some jobs, and the token of the next page; None on the last one."""

    jobs: list[Job]
    next_token: str | None


class JobListing:
    """Reads jobs for callers."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    def show(self, job_id: str) -> JobView | None:
        """Return the job with its queue position; None if it is unknown."""
        with reading(self.engine) as connection:
            row = connection.execute(_SHOW, {"job_id": job_id}).mappings().one_or_none()
        if row is None:
            return None
        values = dict(row)
        position = values.pop("queue_position")
        return JobView(Job.from_row(values), position)

    def positions(self, job_ids: Iterable[str]) -> dict[str, int]:
        """Return the queue positions of the queued ones among the jobs; 1 is next."""
        query = sa.select(jobs.c.id, _POSITION).where(
            jobs.c.id.in_(list(job_ids)), jobs.c.status == "queued"
        )
        with reading(self.engine) as connection:
            return {row.id: row.queue_position for row in connection.execute(query)}

    def page(
        self,
        *,
        owner: str | None,
        status: Status | None,
        size: int,
        token: str | None,
    ) -> Page:
        """Return the next `size` jobs, newest first, after the page that `token` came from.

        Jobs that are added meanwhile do not move the pages: a page begins after a job, not at an
        offset. `owner` None means jobs of all owners.

        Raises:
            InvalidRequest: `token` is not from this gateway.
        """
        query = sa.select(jobs).where(jobs.c.status != DELETING)
        if owner is not None:
            query = query.where(jobs.c.owner == owner)
        if status is not None:
            query = query.where(jobs.c.status == status)
        if token is not None:
            submitted_at, job_id = _read_token(token)
            query = query.where(
                sa.tuple_(jobs.c.submitted_at, jobs.c.id)
                < sa.tuple_(sa.literal(submitted_at), sa.literal(job_id))
            )
        query = query.order_by(jobs.c.submitted_at.desc(), jobs.c.id.desc()).limit(size + 1)
        with reading(self.engine) as connection:
            rows = [Job.from_row(row._mapping) for row in connection.execute(query)]
        return Page(rows[:size], _token(rows[size - 1]) if len(rows) > size else None)


def _token(last: Job) -> str:
    text = json.dumps([last.submitted_at, last.id])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_token(token: str) -> tuple[float, str]:
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        return _POSITION_OF_PAGE.validate_json(text)
    except ValueError as error:  # neither base64, nor JSON, nor a position
        raise InvalidRequest(
            "page_token: expected the next_page_token of an earlier answer, or none"
        ) from error
