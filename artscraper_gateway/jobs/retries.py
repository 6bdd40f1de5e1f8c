"""Run jobs again: new jobs for the same pictures, with the same requests."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import sqlalchemy as sa
from anyio.to_thread import run_sync
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from artscraper_gateway.db.engine import reading
from artscraper_gateway.db.tables import jobs
from artscraper_gateway.errors import GatewayError, NotFound, QueueFull
from artscraper_gateway.jobs.listing import JobView
from artscraper_gateway.jobs.models import Job
from artscraper_gateway.jobs.queue import QueueQuota
from artscraper_gateway.jobs.submission import IncomingPicture, Submission
from artscraper_gateway.storage.base import Storage


def _only_text(value: object) -> object:
    if value is not None and not isinstance(value, str | datetime):
        raise ValueError("expected a date and time with its offset, such as 2026-01-02T03:04:05Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_only_text)]


class RetryFilter(BaseModel):
    """A selection of ended jobs to run again: those that match every field that is set."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"error_contains": "No space left"}}
    )

    error_code: Literal["failed", "cancelled"] = Field("failed", description="how they ended")
    error_contains: str | None = Field(
        None, max_length=200, description="text in their `error`, such as No space left"
    )
    batch_id: str | None = Field(None, max_length=64, description="the batch that they came with")
    finished_after: Moment | None = Field(None, description="when they ended, at the earliest")
    finished_before: Moment | None = Field(None, description="when they ended, at the latest")
    limit: int = Field(100, ge=1, le=1000, description="jobs to run again in this call")


@dataclass(frozen=True)
class RetryResult:
    """New jobs by the ids of the old ones, the refused ones, and whether more jobs match."""

    accepted: dict[str, JobView] = field(default_factory=dict)
    refused: dict[str, GatewayError] = field(default_factory=dict)
    has_more: bool = False


@dataclass(frozen=True)
class Retries:
    """Accepts jobs again."""

    submission: Submission

    async def retry(self, job: Job, quota: QueueQuota, *, key: str | None = None) -> JobView:
        """Accept a new job for the picture of an ended one; the old job stays.

        Raises:
            GatewayError: the picture was deleted, or is refused under changed settings.
        """
        copy = partial(_copy, self.submission.storage, job.id)
        picture = IncomingPicture(
            partial(copy, job.source),
            job.request.to_options(priority=job.priority, callback_url=job.callback_url),
            {name: partial(copy, file) for name, file in job.request.target_files.items()},
            name=f"retry of {job.id}",
            file_name=job.request.upload_name,
        )
        return await self.submission.accept(picture, quota, key=key)

    async def retry_matching(
        self,
        selection: RetryFilter,
        quota: QueueQuota,
        *,
        owner: str | None,
        admit: Callable[[int], Awaitable[None]] | None = None,
    ) -> RetryResult:
        """Accept new jobs for all ended jobs that match; of `owner` only, unless None.

        A new job belongs to the owner of the old one. Repeating the call within a day leads to
        the same new jobs. `admit` is awaited with their number before any is accepted, and may
        raise.
        """
        matching = await run_sync(self._find, selection, owner)
        result = RetryResult(has_more=len(matching) > selection.limit)
        if admit is not None:
            await admit(min(len(matching), selection.limit))
        for job in matching[: selection.limit]:
            try:
                of_owner = replace(quota, owner=job.owner)
                view = await self.retry(job, of_owner, key=f"retry-{job.id}")
                result.accepted[job.id] = view
            except QueueFull:
                return replace(result, has_more=True)
            except GatewayError as error:
                result.refused[job.id] = error
        return result

    def _find(self, selection: RetryFilter, owner: str | None) -> list[Job]:
        conditions = [jobs.c.status == "error", jobs.c.error_code == selection.error_code]
        if owner is not None:
            conditions.append(jobs.c.owner == owner)
        if selection.error_contains:
            conditions.append(jobs.c.error.contains(selection.error_contains, autoescape=True))
        if selection.batch_id is not None:
            conditions.append(jobs.c.batch_id == selection.batch_id)
        if selection.finished_after is not None:
            conditions.append(jobs.c.finished_at >= selection.finished_after.timestamp())
        if selection.finished_before is not None:
            conditions.append(jobs.c.finished_at <= selection.finished_before.timestamp())
        query = sa.select(jobs).where(*conditions).order_by(jobs.c.finished_at)
        with reading(self.submission.listing.engine) as connection:
            rows = connection.execute(query.limit(selection.limit + 1))
            return [Job.from_row(row._mapping) for row in rows]


def _copy(storage: Storage, job_id: str, name: str, destination: Path) -> None:
    try:
        shutil.copyfile(storage.local_input(job_id) / name, destination)
    except FileNotFoundError as error:
        raise NotFound("The job's picture is no longer on the server's disk.") from error
