"""What requests may say and what answers look like."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from artscraper_gateway.deliveries import DeliveryStatus
from artscraper_gateway.job_records import Job, Status
from artscraper_runner import processor_names

MAX_BATCH = 100  # pictures


def _split_names(value: object) -> object:
    """Form fields carry lists as `a,b`; an empty field, as browsers send it, means the default."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()] or None
    return value


class JobOptions(BaseModel):
    """What a caller may choose about a job, however the picture comes."""

    model_config = ConfigDict(extra="forbid")

    processors: Annotated[list[str] | None, BeforeValidator(_split_names)] = Field(
        None, description="analysis processors to run; none given = all", max_length=32
    )
    include_hash_analysis: bool = Field(True, description="write analysis.json")
    include_protection: bool = Field(True, description="run the protection stages")
    enable_tineye: bool = Field(False, description="send the picture to TinEye's reverse search")

    stages: Annotated[list[str] | None, BeforeValidator(_split_names)] = Field(
        None,
        description="protection stages, in this order, but for stegano-embed and c2pa, which run"
        " last; none given = the gateway's",
        max_length=32,
    )
    strength: Literal["low", "medium", "high"] | None = Field(
        None, description="how far pixels may change: 4, 8 or 16 of 255; none = the gateway's"
    )
    encoder: str | None = Field(
        None, max_length=200, description="what the attacks look through; none = the gateway's"
    )
    preset: Literal["default", "published"] | None = Field(
        None,
        description="numbers of the attacks: ours, or each paper's own, which take minutes;"
        " none = the gateway's",
    )
    seed: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="same seed, same picture: same layers of the attacks, while the watermark says"
        " each job's own number unless there is a watermark_text; none = the gateway's",
    )
    nightshade_target: str | None = Field(
        None,
        max_length=200,
        description="concept that nightshade moves towards; none = the gateway's",
    )
    watermark_text: str | None = Field(
        None, max_length=200, description="up to 10 bytes in the watermark; none = a job's number"
    )
    watermark_method: Literal["tiled", "dwtDctSvd"] | None = Field(
        None, description="how the watermark is hidden; none = tiled, which survives the web"
    )
    priority: int = Field(0, ge=-100, le=100, description="jobs of a higher one run sooner")
    callback_url: str | None = Field(
        None, max_length=2000, description="http or https URL that is told of the job's end"
    )

    @model_validator(mode="after")
    def _known_processors(self) -> Self:
        for name in self.processors or ():
            if name not in processor_names():
                raise ValueError(
                    f"unknown processor {name[:80]!r}; valid: {', '.join(processor_names())}"
                )
        return self


class JobByReference(JobOptions):
    """A JSON request: the picture is named, by a URL or by a path on the gateway's machine."""

    image_url: str | None = Field(None, max_length=8192, description="http or https URL")
    local_path: str | None = Field(None, max_length=8192, description="path inside a local root")

    @model_validator(mode="after")
    def _exactly_one_source(self) -> Self:
        if (self.image_url is None) == (self.local_path is None):
            raise ValueError("expected exactly one of image_url and local_path")
        return self

    def options(self) -> JobOptions:
        """Returns the part that does not name the picture."""
        return JobOptions.model_validate(
            self.model_dump(exclude={"image_url", "local_path"}, exclude_unset=True)
        )


class BatchByReference(JobOptions):
    """A JSON request for a batch; an item's own options beat those beside `items`."""

    items: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=MAX_BATCH,
        description="what a job's request holds, each: image_url or local_path, and options",
    )

    def each(self) -> list[dict[str, Any]]:
        """Returns each item with the options that it does not name itself."""
        shared = self.model_dump(exclude={"items"}, exclude_unset=True)
        return [{**shared, **item} for item in self.items]


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
