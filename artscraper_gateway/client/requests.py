"""Every call of the gateway as a value: what is sent, how the answer is read, whether it may be
repeated. `Gateway` and `AsyncGateway` send them.

A call may be repeated when doing it twice is the same as doing it once: all that only read, cancel
and delete, and submissions, which carry an idempotency key.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from artscraper_gateway.client import models as answers
from artscraper_gateway.client.bodies import (
    Body,
    File,
    JobOptions,
    Picture,
    batch_body_of,
    body_of,
    picture_body_of,
)

T = TypeVar("T")
Read = Callable[[httpx.Response], T]


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request. `holds_s` is how long the gateway may take its time on purpose.

    With `deletes`, a 404 to a repeated request is the success that the first one's lost answer was.
    """

    method: str
    path: str
    read: Read[T]
    params: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Body = field(default_factory=Body)
    repeatable: bool = True
    deletes: bool = False
    holds_s: float = 0.0


def _as(kind: Any) -> Read[Any]:
    return partial(answers.read_answer, kind)


def _nothing(_response: httpx.Response | None) -> None:
    return None


def job_path(job_id: str, *rest: str) -> str:
    """Returns the path of a job, or of what belongs to it."""
    return "/".join(["/v1/jobs", *(quote(part, safe="") for part in (job_id, *rest))])


def batch_path(batch_id: str, *rest: str) -> str:
    """Returns the path of a batch, or of what belongs to it."""
    return "/".join(["/v1/batches", *(quote(part, safe="") for part in (batch_id, *rest))])


def submit(
    picture: Picture, options: JobOptions, key: str | None, wait_s: float
) -> Call[answers.Job]:
    """POST /v1/jobs; a key of its own when none is given, so that it may be repeated."""
    headers = {"Idempotency-Key": key or uuid.uuid4().hex}
    if wait_s > 0:
        headers["Prefer"] = f"wait={wait_s:.0f}"
    body = body_of(picture, options)
    return Call("POST", "/v1/jobs", _as(answers.Job), headers=headers, body=body, holds_s=wait_s)


def submit_batch(
    pictures: Sequence[Picture], options: JobOptions, key: str | None
) -> Call[answers.Batch]:
    """POST /v1/batches; as `submit`."""
    headers = {"Idempotency-Key": key or uuid.uuid4().hex}
    body = batch_body_of(pictures, options)
    return Call("POST", "/v1/batches", _as(answers.Batch), headers=headers, body=body)


def job(job_id: str, wait_s: float = 0) -> Call[answers.Job]:
    """GET /v1/jobs/{id}, at once or when it has ended, after so many seconds at most."""
    params = {"wait": wait_s} if wait_s > 0 else {}
    return Call("GET", job_path(job_id), _as(answers.Job), params=params, holds_s=wait_s)


def jobs(status: str | None, page_size: int, token: str | None) -> Call[answers.JobPage]:
    """GET /v1/jobs, one page."""
    params = {"status": status, "page_size": page_size, "page_token": token}
    given = {name: value for name, value in params.items() if value is not None}
    return Call("GET", "/v1/jobs", _as(answers.JobPage), params=given)


def result(job_id: str) -> Call[answers.Result]:
    """GET /v1/jobs/{id}/result."""
    return Call("GET", job_path(job_id, "result"), _as(answers.Result))


def cancel(job_id: str) -> Call[answers.Job]:
    """POST /v1/jobs/{id}/cancel, which does no harm twice."""
    return Call("POST", job_path(job_id, "cancel"), _as(answers.Job))


def delete(job_id: str) -> Call[None]:
    """DELETE /v1/jobs/{id}."""
    return Call("DELETE", job_path(job_id), _nothing, deletes=True)


def retry(job_id: str) -> Call[answers.Job]:
    """POST /v1/jobs/{id}/retry, which makes a new job each time."""
    return Call("POST", job_path(job_id, "retry"), _as(answers.Job), repeatable=False)


def deliveries(job_id: str) -> Call[list[answers.Delivery]]:
    """GET /v1/jobs/{id}/deliveries."""
    return Call("GET", job_path(job_id, "deliveries"), _deliveries)


def resend(job_id: str, delivery_id: str) -> Call[list[answers.Delivery]]:
    """POST .../deliveries/{id}/resend, which sends a message each time."""
    path = job_path(job_id, "deliveries", delivery_id, "resend")
    return Call("POST", path, _deliveries, repeatable=False)


def _deliveries(response: httpx.Response) -> list[answers.Delivery]:
    return answers.read_answer(answers.DeliveryList, response).deliveries


def batch(batch_id: str) -> Call[answers.Batch]:
    """GET /v1/batches/{id}."""
    return Call("GET", batch_path(batch_id), _as(answers.Batch))


def delete_batch(batch_id: str) -> Call[None]:
    """DELETE /v1/batches/{id}."""
    return Call("DELETE", batch_path(batch_id), _nothing, deletes=True)


def limits() -> Call[answers.Limits]:
    """GET /v1/limits."""
    return Call("GET", "/v1/limits", _as(answers.Limits))


def read_watermark(picture: File) -> Call[answers.WatermarkReading]:
    """POST /v1/watermarks/read, which keeps nothing."""
    body = picture_body_of(picture)
    return Call("POST", "/v1/watermarks/read", _as(answers.WatermarkReading), body=body)
