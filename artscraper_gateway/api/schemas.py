"""What requests may say and what answers look like."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, cast

from pydantic import BaseModel, Field

from artscraper_gateway.jobs.models import Job, Status
from artscraper_gateway.webhooks.repository import DeliveryStatus


class JobState(BaseModel):
    """A job as it stands now. Times are RFC 3339, UTC."""

    job_id: str
    status: Status
    submitted_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="when it will be deleted; null = not planned")
    stage: str | None = Field(description="the stage that runs, or ran last")
    progress: float = Field(ge=0, le=1, description="how much of the job is done")
    queue_position: int | None = Field(
        ge=1, description="1 = next; null when it does not wait, and in lists"
    )
    priority: int
    batch_id: str | None = Field(description="the batch that it came with")
    error: str | None = Field(description="why the job failed")
    error_code: Literal["failed", "cancelled"] | None

    @classmethod
    def of(
        cls, job: Job, *, queue_position: int | None = None, ttl_s: float | None = None
    ) -> JobState:
        """Returns what callers may know of `job`; finished ones are deleted after `ttl_s`."""
        expires = ttl_s is not None and job.finished_at is not None
        return cls(
            job_id=job.id,
            status=job.status,
            submitted_at=moment(job.submitted_at),
            updated_at=moment(job.updated_at),
            started_at=moment(job.started_at) if job.started_at else None,
            finished_at=moment(job.finished_at) if job.finished_at else None,
            expires_at=moment((job.finished_at or 0) + (ttl_s or 0)) if expires else None,
            stage=job.stage,
            progress=round(job.progress, 4),
            queue_position=queue_position,
            priority=job.priority,
            batch_id=job.batch_id,
            error=job.error,
            error_code=cast(Any, job.error_code),
        )


class JobPage(BaseModel):
    """Some of the jobs, newest first."""

    jobs: list[JobState]
    next_page_token: str | None = Field(description="of the page behind; null = there is none")


class RefusedItem(BaseModel):
    """An item of a batch that became no job, counted from 0, and the problem."""

    index: int
    code: str
    detail: str


class BatchState(BaseModel):
    """A batch as it stands; `done` = all have ended and at least one has a result."""

    batch_id: str
    status: Status
    submitted_at: datetime
    counts: dict[str, int] = Field(description="how many jobs stand where")
    jobs: list[JobState] = Field(description="in the order that they were sent")
    refused: list[RefusedItem]


class AttemptState(BaseModel):
    """One try to deliver a webhook."""

    at: datetime
    duration_s: float
    http_status: int | None = Field(description="null = there was no answer")
    error: str | None


class DeliveryState(BaseModel):
    """A webhook: one message, and every try to deliver it."""

    delivery_id: str = Field(description="its webhook-id")
    type: str
    url: str
    status: DeliveryStatus
    created_at: datetime
    next_attempt_at: datetime | None
    attempts: list[AttemptState]


class DeliveryList(BaseModel):
    """The webhooks of a job, the oldest first."""

    deliveries: list[DeliveryState]


class JobResult(BaseModel):
    """What a finished job produced."""

    job_id: str
    summary: dict[str, Any] = Field(description="summary.json")
    analysis: dict[str, Any] | None = Field(description="analysis.json; null when not asked for")
    output_dir: str = Field(description="absolute folder of the results")


class WatermarkReading(BaseModel):
    """What a picture's watermark says."""

    payload: str | None = Field(description="hex digits; null when no mark was found")
    text: str | None = Field(description="the payload as text, if it is one")
    confidence: float = Field(ge=0, le=1)
    job_id: str | None = Field(description="the job of this gateway that wrote it, if known")


class JobDeleted(BaseModel):
    """The answer to a deletion."""

    job_id: str
    status: Literal["deleted"]


class BatchDeleted(BaseModel):
    """The answer to a batch's deletion."""

    batch_id: str
    status: Literal["deleted"]


class ProblemDetails(BaseModel):
    """An error as RFC 9457 has it; `code` is stable, `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str


def moment(seconds: float) -> datetime:
    """Returns the moment that many seconds after 1970 began, in UTC."""
    return datetime.fromtimestamp(seconds, UTC)
