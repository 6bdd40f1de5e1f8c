"""The gateway's responses as frozen values. Times are aware datetimes in UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Literal, TypeVar

import httpx

from .errors import UnexpectedResponse
from .parsing import build

Status = Literal["queued", "running", "done", "error"]
FINISHED = ("done", "error")
SUFFIXES = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/tiff": ".tif",
    "image/gif": ".gif",
    "image/bmp": ".bmp",
    "image/avif": ".avif",
}
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """A job. `progress` is 0..1; `queue_position` 1 is next, None means that it does not wait."""

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
    retry_at: datetime | None = None
    retry_reason: str | None = None
    name: str | None = None
    notes: list[dict[str, Any]] | None = None
    links: dict[str, str | None] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether the job has ended, done or in error."""
        return self.status in FINISHED


@dataclass(frozen=True)
class JobPage:
    """Some jobs, newest first; `next_page_token` None marks the last page."""

    jobs: list[Job]
    next_page_token: str | None


@dataclass(frozen=True)
class Layer:
    """The picture after one stage. `applied` False means unchanged, for `reason`.

    `path` is that on the server, None where the gateway shows none.
    """

    stage: str
    path: str | None = None
    media_type: str | None = None  # None from gateways before 0.3
    applied: bool = True
    reason: str | None = None
    metrics: dict[str, Any] | None = None

    @property
    def suffix(self) -> str:
        """The suffix of the layer's file, such as .jpg; raises UnexpectedResponse for others."""
        path = (self.path or "").replace("\\", "/")
        suffix = SUFFIXES.get(self.media_type or "", PurePosixPath(path).suffix)
        if suffix not in SUFFIXES.values():
            raise UnexpectedResponse(f"layer {self.stage[:80]!r} has no known picture's suffix")
        return suffix


@dataclass(frozen=True)
class Result:
    """The results of a finished job; `analysis` is None if the job did not ask for it."""

    job_id: str
    summary: dict[str, Any]
    analysis: dict[str, Any] | None
    output_dir: str | None = None

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, `original` first."""
        return [build(Layer, row) for row in self.summary.get("layers", [])]


@dataclass(frozen=True)
class RefusedItem:
    """A picture of a batch that became no job; `index` counts from 0."""

    index: int
    code: str
    detail: str


@dataclass(frozen=True)
class Batch:
    """A batch; `done` means that all jobs have ended and at least one has a result."""

    batch_id: str
    status: Status
    submitted_at: datetime
    counts: dict[str, int]
    jobs: list[Job]
    refused: list[RefusedItem]

    @property
    def is_finished(self) -> bool:
        """Whether all jobs of the batch have ended."""
        return self.status in FINISHED


@dataclass(frozen=True)
class Attempt:
    """One attempt to deliver a webhook."""

    at: datetime
    duration_s: float
    http_status: int | None
    error: str | None


@dataclass(frozen=True)
class Delivery:
    """A webhook of a job, with every attempt to deliver it."""

    delivery_id: str
    type: str
    url: str
    status: str
    created_at: datetime
    next_attempt_at: datetime | None
    attempts: list[Attempt]


@dataclass(frozen=True)
class DeliveryList:
    """The webhooks of a job, the oldest first."""

    deliveries: list[Delivery]


@dataclass(frozen=True)
class WatermarkReading:
    """A picture's watermark; `payload` is None without a watermark."""

    payload: str | None
    text: str | None
    confidence: float
    job_id: str | None


@dataclass(frozen=True)
class StageChoice:
    """A stage that a job may ask for."""

    name: str
    default: bool
    available: bool


@dataclass(frozen=True)
class Limits:
    """The gateway's limits and stages; None means unlimited."""

    max_upload_bytes: int
    max_pixels: int
    max_side: int
    max_frames: int
    max_queued: int
    job_ttl: float | None
    max_disk: int | None
    strength: str
    stages: list[StageChoice] = field(default_factory=list)


def parse_response(kind: type[T], response: httpx.Response) -> T:
    """Return the body as `kind`.

    Raises:
        UnexpectedResponse: the body is not JSON, or not a `kind`.
    """
    try:
        data = response.json()
    except ValueError as error:
        url = response.request.url
        where = f"{url.scheme}://{url.host}{url.path}"
        raise UnexpectedResponse(f"expected JSON from {where}, found none") from error
    return build(kind, data)
