"""Every request to the gateway as a value: its content, and how the response is parsed.

A request is repeatable if sending it twice has the same effect as sending it once: reads, cancels,
deletes, and submissions, which carry an idempotency key.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from . import models
from .bodies import (
    Body,
    File,
    JobOptions,
    Picture,
    batch_body_of,
    body_of,
    picture_body_of,
)

T = TypeVar("T")
Parse = Callable[[httpx.Response], T]


@dataclass(frozen=True)
class Request(Generic[T]):
    """One request to the gateway.

    `server_wait_s` is how long the gateway may hold the response back on purpose. With `deletes`,
    404 to a repeated request means success: the response to the first one was lost.
    """

    method: str
    path: str
    parse: Parse[T]
    params: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Body = field(default_factory=Body)
    repeatable: bool = True
    deletes: bool = False
    server_wait_s: float = 0.0


def _model(kind: Any) -> Parse[Any]:
    return partial(models.parse_response, kind)


def _no_content(_response: httpx.Response | None) -> None:
    return None


def job_path(job_id: str, *rest: str) -> str:
    """Return the path of a job, or of a resource below it."""
    return "/".join(["/v1/jobs", *(quote(part, safe="") for part in (job_id, *rest))])


def batch_path(batch_id: str, *rest: str) -> str:
    """Return the path of a batch, or of a resource below it."""
    return "/".join(["/v1/batches", *(quote(part, safe="") for part in (batch_id, *rest))])


def submit(
    picture: Picture, options: JobOptions, key: str | None, wait_s: float
) -> Request[models.Job]:
    """POST /v1/jobs, repeatable through an idempotency key, which is random by default."""
    headers = {"Idempotency-Key": key or uuid.uuid4().hex}
    if wait_s > 0:
        headers["Prefer"] = f"wait={wait_s:.0f}"
    body = body_of(picture, options)
    parse = _model(models.Job)
    return Request("POST", "/v1/jobs", parse, headers=headers, body=body, server_wait_s=wait_s)


def submit_batch(
    pictures: Sequence[Picture], options: JobOptions, key: str | None
) -> Request[models.Batch]:
    """POST /v1/batches; as `submit`."""
    headers = {"Idempotency-Key": key or uuid.uuid4().hex}
    body = batch_body_of(pictures, options)
    return Request("POST", "/v1/batches", _model(models.Batch), headers=headers, body=body)


def job(job_id: str, wait_s: float = 0) -> Request[models.Job]:
    """GET /v1/jobs/{id}; with `wait_s` the response comes at the job's end, or after the wait."""
    params = {"wait": wait_s} if wait_s > 0 else {}
    return Request("GET", job_path(job_id), _model(models.Job), params=params, server_wait_s=wait_s)


def jobs(status: str | None, page_size: int, token: str | None) -> Request[models.JobPage]:
    """GET /v1/jobs, one page."""
    params = {"status": status, "page_size": page_size, "page_token": token}
    query = {name: value for name, value in params.items() if value is not None}
    return Request("GET", "/v1/jobs", _model(models.JobPage), params=query)


def result(job_id: str) -> Request[models.Result]:
    """GET /v1/jobs/{id}/result."""
    return Request("GET", job_path(job_id, "result"), _model(models.Result))


def cancel(job_id: str) -> Request[models.Job]:
    """POST /v1/jobs/{id}/cancel, idempotent."""
    return Request("POST", job_path(job_id, "cancel"), _model(models.Job))


def delete(job_id: str) -> Request[None]:
    """DELETE /v1/jobs/{id}."""
    return Request("DELETE", job_path(job_id), _no_content, deletes=True)


def retry(job_id: str) -> Request[models.Job]:
    """POST /v1/jobs/{id}/retry, which creates a new job each time."""
    return Request("POST", job_path(job_id, "retry"), _model(models.Job), repeatable=False)


def deliveries(job_id: str) -> Request[list[models.Delivery]]:
    """GET /v1/jobs/{id}/deliveries."""
    return Request("GET", job_path(job_id, "deliveries"), _deliveries)


def resend(job_id: str, delivery_id: str) -> Request[list[models.Delivery]]:
    """POST .../deliveries/{id}/resend, which sends a message each time."""
    path = job_path(job_id, "deliveries", delivery_id, "resend")
    return Request("POST", path, _deliveries, repeatable=False)


def _deliveries(response: httpx.Response) -> list[models.Delivery]:
    return models.parse_response(models.DeliveryList, response).deliveries


def batch(batch_id: str) -> Request[models.Batch]:
    """GET /v1/batches/{id}."""
    return Request("GET", batch_path(batch_id), _model(models.Batch))


def delete_batch(batch_id: str) -> Request[None]:
    """DELETE /v1/batches/{id}."""
    return Request("DELETE", batch_path(batch_id), _no_content, deletes=True)


def limits() -> Request[models.Limits]:
    """GET /v1/limits."""
    return Request("GET", "/v1/limits", _model(models.Limits))


def read_watermark(picture: File) -> Request[models.WatermarkReading]:
    """POST /v1/watermarks/read, which stores nothing."""
    body = picture_body_of(picture)
    return Request("POST", "/v1/watermarks/read", _model(models.WatermarkReading), body=body)
