"""Jobs as values: stored, about to be added, how one ended, and one change of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from typing_extensions import TypeAliasType

from artscraper_gateway.jobs.request import JobRequest

# queued -> running -> done | error; running -> queued during a storage outage;
# any of them -> deleting -> (no row).
Status = TypeAliasType("Status", Literal["queued", "running", "done", "error"])
STATUSES: tuple[Status, ...] = ("queued", "running", "done", "error")
FINISHED = ("done", "error")
DELETING = "deleting"  # files are being removed; unknown to callers
CANCELLED, FAILED = "cancelled", "failed"  # error codes
EventKind = Literal["stage", "progress", "done", "error"]


@dataclass(frozen=True)
class Job:
    """One job as stored. Times are seconds since 1970, UTC.

    `retry_at`, `retry_since`, `retry_count` and `retry_reason` are set while the job waits for
    a storage outage: the next run, the first failure, the number of attempts, and the reason.
    `results_in` is the `output_parent` its results were written to; None before the end.
    """

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
    retry_at: float | None = None
    retry_since: float | None = None
    retry_count: int = 0
    retry_reason: str | None = None
    results_in: str | None = None

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> Self:
        """Return the job of a row of the jobs table."""
        return cls(**{**row, "request": JobRequest.model_validate(row["request"])})

    @property
    def is_finished(self) -> bool:
        """Return whether the job has ended."""
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
    """The end of a job: done, or with an error that callers may read."""

    job_id: str
    error: str | None
    disk_bytes: int | None  # of its files; None: unchanged
    results_in: str | None = None  # the `output_parent` of its results


@dataclass(frozen=True)
class Event:
    """One change of a job; `seq` counts from 1, with gaps where progress was replaced."""

    job_id: str
    seq: int
    kind: EventKind
    data: dict[str, Any]

    @property
    def is_last(self) -> bool:
        """Return whether no event follows."""
        return self.kind in FINISHED
