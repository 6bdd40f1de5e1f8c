"""What the gateway answers, checked and typed. Fields that this release does not know are left out.

Times are aware datetimes in UTC.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Literal, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from artscraper_gateway.client.errors import UnexpectedAnswer

Status = Literal["queued", "running", "done", "error"]
FINISHED = ("done", "error")
SUFFIXES = frozenset({".jpg", ".png", ".webp", ".tif", ".gif", ".bmp", ".avif"})


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Job(_Answer):
    """A job as it stood. `progress` is 0..1; `queue_position` 1 = next, None = it does not wait."""

    job_id: str
    status: Status
    submitted_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    stage: str | None = None
    progress: float = 0.0
    queue_position: int | None = None
    priority: int = 0
    batch_id: str | None = None
    error: str | None = None
    error_code: str | None = None

    @property
    def is_finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in FINISHED


class JobPage(_Answer):
    """Some jobs, newest first; `next_page_token` None = there are no more."""

    jobs: list[Job]
    next_page_token: str | None


class Layer(_Answer):
    """The picture as one stage left it. `applied` False = unchanged, `reason` says why."""

    stage: str
    path: str
    applied: bool = True
    reason: str | None = None
    metrics: dict[str, Any] | None = None

    @property
    def suffix(self) -> str:
        """The suffix of the layer's file, such as .jpg. Raises UnexpectedAnswer for others."""
        suffix = PurePosixPath(self.path.replace("\\", "/")).suffix
        if suffix not in SUFFIXES:
            raise UnexpectedAnswer(f"layer {self.stage[:80]!r} has no known picture's suffix")
        return suffix


class Result(_Answer):
    """What a finished job produced: summary.json, analysis.json (None = not asked for)."""

    job_id: str
    summary: dict[str, Any]
    analysis: dict[str, Any] | None
    output_dir: str

    @property
    def layers(self) -> list[Layer]:
        """The layers in their order, `original` first."""
        return [_checked(Layer, row) for row in self.summary.get("layers", [])]


class RefusedItem(_Answer):
    """A picture of a batch that became no job, counted from 0, and why."""

    index: int
    code: str
    detail: str


class Batch(_Answer):
    """A batch as it stood; `done` = all jobs have ended and at least one has a result."""

    batch_id: str
    status: Status
    submitted_at: datetime
    counts: dict[str, int]
    jobs: list[Job]
    refused: list[RefusedItem]

    @property
    def is_finished(self) -> bool:
        """Whether all its jobs have ended."""
        return self.status in FINISHED


class Attempt(_Answer):
    """One try to deliver a webhook."""

    at: datetime
    duration_s: float
    http_status: int | None
    error: str | None


class Delivery(_Answer):
    """A webhook of a job, with every try to deliver it."""

    delivery_id: str
    type: str
    url: str
    status: str
    created_at: datetime
    next_attempt_at: datetime | None
    attempts: list[Attempt]


class DeliveryList(_Answer):
    """The webhooks of a job, the oldest first."""

    deliveries: list[Delivery]


class WatermarkReading(_Answer):
    """What a picture's watermark says; `payload` None = no mark was found."""

    payload: str | None
    text: str | None
    confidence: float
    job_id: str | None


class StageChoice(_Answer):
    """A stage that a job may ask for."""

    name: str
    default: bool
    available: bool


class Limits(_Answer):
    """What the gateway takes and offers; None = no limit."""

    max_upload_bytes: int
    max_pixels: int
    max_side: int
    max_frames: int
    max_queued: int
    job_ttl: float | None
    max_disk: int | None
    strength: str
    stages: list[StageChoice]


T = TypeVar("T", bound=_Answer)


def read_answer(kind: type[T], response: httpx.Response) -> T:
    """Returns the body as `kind`. Raises UnexpectedAnswer when it is none."""
    try:
        data = response.json()
    except ValueError as error:
        raise UnexpectedAnswer(f"expected JSON from {_shown(response)}, found none") from error
    return _checked(kind, data)


def _checked(kind: type[T], data: Any) -> T:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in found["loc"]) or "the answer"
        raise UnexpectedAnswer(f"{kind.__name__}: {where}: {found['msg']}") from error


def _shown(response: httpx.Response) -> str:
    url = response.request.url
    return f"{url.scheme}://{url.host}{url.path}"
