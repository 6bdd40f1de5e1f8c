"""Models of answers, with an example each for the OpenAPI description."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from artscraper_gateway.jobs.models import Job, Status
from artscraper_gateway.webhooks.repository import DeliveryStatus

JOB_ID, BATCH_ID = "9f0cba1d7c6f4a0f8a3c2a5d1e4b7c90", "0b7d52f5c1c84b7d9a2f3e6a8d9c1b20"
JOB_PATH = f"/v1/jobs/{JOB_ID}"


def example(value: dict[str, Any], **config: Any) -> ConfigDict:
    """Return a model's configuration with an example for the OpenAPI description."""
    return cast(ConfigDict, {"json_schema_extra": {"example": value}, **config})


NOTE_EXAMPLE = {"subject": "gps", "action": "dropped", "detail": "The GPS position is removed."}
_JOB_EXAMPLE: dict[str, Any] = {
    "job_id": JOB_ID,
    "status": "running",
    "name": "kitchen.jpg",
    "submitted_at": "2026-01-02T03:04:05.678901Z",
    "updated_at": "2026-01-02T03:04:09.123456Z",
    "started_at": "2026-01-02T03:04:06.012345Z",
    "finished_at": None,
    "expires_at": None,
    "stage": "mist",
    "progress": 0.42,
    "queue_position": None,
    "priority": 0,
    "batch_id": None,
    "error": None,
    "retry_at": None,
    "retry_reason": None,
    "error_code": None,
    "notes": None,
    "links": {
        "self": JOB_PATH,
        "events": f"{JOB_PATH}/events",
        "result": None,
        "final": None,
        "archive": None,
    },
}
QUEUED_JOB_EXAMPLE = {
    **_JOB_EXAMPLE,
    "status": "queued",
    "updated_at": _JOB_EXAMPLE["submitted_at"],
    "started_at": None,
    "stage": None,
    "progress": 0.0,
    "queue_position": 1,
}


class Note(BaseModel):
    """A part of the picture's file that was kept, converted or removed."""

    model_config = example(NOTE_EXAMPLE, extra="allow")

    subject: str = Field(description="part of the file, such as exif, alpha or colour-profile")
    action: str = Field(description="dropped, changed or kept")
    detail: str = Field(description="one sentence for people")


class JobLinks(BaseModel):
    """URLs of a job's resources, relative to the host; null without a result."""

    model_config = example(_JOB_EXAMPLE["links"], populate_by_name=True, serialize_by_alias=True)

    self_url: str = Field(alias="self", description="the job's state")
    events: str = Field(description="server-sent events")
    result: str | None = Field(description="summary and analysis")
    final: str | None = Field(description="the protected picture: the last layer")
    archive: str | None = Field(description="all files as a ZIP")


class JobState(BaseModel):
    """A job's current state. Times are RFC 3339, UTC."""

    model_config = example(_JOB_EXAMPLE)

    job_id: str
    status: Status
    name: str | None = Field(description="file name of the upload, if the gateway keeps names")
    submitted_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="when it will be deleted; null if not planned")
    stage: str | None = Field(description="the stage that runs, or ran last")
    progress: Annotated[float, AfterValidator(lambda share: round(share, 4))] = Field(
        ge=0, le=1, description="how much of the job is done"
    )
    queue_position: int | None = Field(
        ge=1, description="1 is next; null if it does not wait, and in lists"
    )
    priority: int
    batch_id: str | None = Field(description="the batch that the job belongs to")
    error: str | None = Field(description="why the job failed")
    retry_at: datetime | None = Field(
        description="when a job that waits for storage is tried again; null if it does not"
    )
    retry_reason: str | None = Field(description="why the job waits for storage")
    error_code: Literal["failed", "cancelled"] | None
    notes: list[Note] | None = Field(
        description="parts of the file that the result keeps, changes or drops; null before the"
        " end and in lists"
    )
    links: JobLinks

    @classmethod
    def of(
        cls,
        job: Job,
        *,
        links: JobLinks,
        queue_position: int | None = None,
        ttl_s: float | None = None,
        notes: list[dict[str, Any]] | None = None,
    ) -> JobState:
        """Return the state of `job`; finished jobs are deleted after `ttl_s`."""
        expires = ttl_s is not None and job.finished_at is not None
        return cls.model_validate(
            {
                **vars(job),
                "job_id": job.id,
                "name": job.request.upload_name,
                "expires_at": (job.finished_at or 0) + (ttl_s or 0) if expires else None,
                "queue_position": queue_position,
                "notes": notes,
                "links": links,
            }
        )


class RetriedJob(BaseModel):
    """A job that runs again as a new one."""

    job_id: str
    new_job_id: str


class RefusedRetry(BaseModel):
    """A job that does not run again, and the problem."""

    job_id: str
    code: str
    detail: str


class JobsRetried(BaseModel):
    """Jobs that run again."""

    model_config = example(
        {
            "retried": [{"job_id": JOB_ID, "new_job_id": BATCH_ID}],
            "refused": [],
            "has_more": False,
        }
    )

    retried: list[RetriedJob]
    refused: list[RefusedRetry]
    has_more: bool = Field(description="whether more jobs match, or wait for room in the queue")


class JobPage(BaseModel):
    """A page of jobs, newest first."""

    model_config = example({"jobs": [_JOB_EXAMPLE], "next_page_token": None})

    jobs: list[JobState]
    next_page_token: str | None = Field(description="token of the next page; null on the last page")


class RefusedItem(BaseModel):
    """An item of a batch that became no job, counted from 0, and the problem."""

    index: int
    code: str
    detail: str


class BatchState(BaseModel):
    """A batch's current state; `done` if all have ended and at least one has a result."""

    model_config = example(
        {
            "batch_id": BATCH_ID,
            "status": "running",
            "submitted_at": "2026-01-02T03:04:05.678901Z",
            "counts": {"queued": 0, "running": 1, "done": 0, "error": 0},
            "jobs": [{**_JOB_EXAMPLE, "batch_id": BATCH_ID}],
            "refused": [{"index": 1, "code": "too-large", "detail": "expected at most 50 MB"}],
        }
    )

    batch_id: str
    status: Status
    submitted_at: datetime
    counts: dict[str, int] = Field(description="number of jobs by status")
    jobs: list[JobState] = Field(description="in the order that they were sent")
    refused: list[RefusedItem]


class AttemptState(BaseModel):
    """One attempt to deliver a webhook."""

    at: datetime
    duration_s: Annotated[float, AfterValidator(lambda seconds: round(seconds, 3))]
    http_status: int | None = Field(description="null without a response")
    error: str | None


class DeliveryState(BaseModel):
    """A webhook: one message, and every attempt to deliver it."""

    delivery_id: str = Field(description="its webhook-id")
    type: str
    url: str
    status: DeliveryStatus
    created_at: datetime
    next_attempt_at: datetime | None
    attempts: list[AttemptState]


class DeliveryList(BaseModel):
    """The webhooks of a job, the oldest first."""

    model_config = example(
        {
            "deliveries": [
                {
                    "delivery_id": "msg_5d1c0f7e",
                    "type": "job.done",
                    "url": "https://example.org/hook",
                    "status": "delivered",
                    "created_at": "2026-01-02T03:04:20.000000Z",
                    "next_attempt_at": None,
                    "attempts": [
                        {
                            "at": "2026-01-02T03:04:20.100000Z",
                            "duration_s": 0.08,
                            "http_status": 204,
                            "error": None,
                        }
                    ],
                }
            ]
        }
    )

    deliveries: list[DeliveryState]


class WatermarkReading(BaseModel):
    """The watermark read from a picture."""

    model_config = example(
        {"payload": "0123456789abcdef", "text": None, "confidence": 0.98, "job_id": JOB_ID}
    )

    payload: str | None = Field(description="hex digits; null when no mark was found")
    text: str | None = Field(description="the payload as text, if it is one")
    confidence: float = Field(ge=0, le=1)
    job_id: str | None = Field(description="the job of this gateway that wrote it, if known")


class JobDeleted(BaseModel):
    """The answer to a deletion."""

    model_config = example({"job_id": JOB_ID, "status": "deleted"})

    job_id: str
    status: Literal["deleted"]


class BatchDeleted(BaseModel):
    """The answer to a batch's deletion."""

    model_config = example({"batch_id": BATCH_ID, "status": "deleted"})

    batch_id: str
    status: Literal["deleted"]


class StrengthPreviewChoices(BaseModel):
    """The body of POST /v1/strength-previews."""

    model_config = example({"max_side": 512, "stages": ["photoguard", "mist"]})

    max_side: int = Field(description="px of a part")
    stages: list[str] = Field(description="that can be previewed")


class ServerSentEvent(BaseModel):
    """An event of a stream."""

    event: str = Field(description="kind of event")
    data: str = Field(json_schema_extra={"contentMediaType": "application/json"})
    id: str | None = Field(None, description="to send as Last-Event-ID")
    retry: int | None = Field(None, description="ms after which to connect again")


class ProblemDetails(BaseModel):
    """An error as RFC 9457 has it; `code` is stable, `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str

    @classmethod
    def of(cls, status: int, code: str, title: str, detail: str) -> ProblemDetails:
        """Return the problem with the type that `code` stands for."""
        kind = f"urn:artscraper-gateway:problem:{code}"
        return cls(type=kind, title=title, status=status, detail=detail, code=code)


# FastAPI leaves null out of examples; these hold some.
MODELS_WITH_NULL: tuple[type[BaseModel], ...] = (
    JobLinks,
    JobState,
    JobPage,
    BatchState,
    DeliveryList,
    WatermarkReading,
)
