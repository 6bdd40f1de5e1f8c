"""Jobs as they are handed about: one that is there, one to be added, and how one ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from artscraper_gateway.jobs.request import JobRequest

# queued -> running -> done | error; any of them -> deleting -> (no row).
Status = Literal["queued", "running", "done", "error"]
FINISHED = ("done", "error")
CANCELLED, FAILED = "cancelled", "failed"  # codes of why a job ended in error


@dataclass(frozen=True)
class Job:
    """One job as it stands. Times are seconds since 1970, UTC."""

    id: str
    status: Status
    request: JobRequest
    source: str
    submitted_at: float
    updated_at: float
    started_at: float | None = None
    finished_at: float | None = None
    stage: str | None = None
    stage_attempts: int = 0
    worker: str | None = None
    error: str | None = None
    error_code: str | None = None
    watermark: str | None = None
    owner: str = ""
    queue: str = "heavy"
    priority: int = 0
    progress: float = 0.0
    revision: int = 0
    callback_url: str | None = None
    disk_bytes: int = 0
    batch_id: str | None = None
    batch_index: int | None = None

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> Self:
        """Return the job of a row of the jobs table."""
        return cls(**{**row, "request": JobRequest.model_validate(row["request"])})

    @property
    def is_finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in FINISHED


@dataclass(frozen=True)
class NewJob:
    """A job about to be added: its `source` is staged in the folder of `id`."""

    id: str
    source: str
    request: JobRequest
    queue: str
    owner: str = ""
    priority: int = 0
    callback_url: str | None = None
    disk_bytes: int = 0
    batch_id: str | None = None
    batch_index: int | None = None


@dataclass(frozen=True)
class Outcome:
    """How a job ended: well, or with an error that callers may read."""

    job_id: str
    error: str | None
    disk_bytes: int | None  # what its files take; None = as much as before
