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
from .bodies import Body, JobOptions, Picture, batch_body_of, body_of

T = TypeVar("T")


@dataclass(frozen=True)
class Request(Generic[T]):
    """One request to the gateway.

    `server_wait_s` is how long the gateway may hold the response back on purpose. With `deletes`,
    404 to a repeated request means success: the response to the first one was lost.
    """

    method: str
    path: str
    parse: Callable[[httpx.Response], T]
    params: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Body = field(default_factory=Body)
    repeatable: bool = True
    deletes: bool = False
    server_wait_s: float = 0.0


def get(path: str, kind: type[T], **rest: Any) -> Request[T]:
    """Return a GET request whose response is a `kind`."""
    return Request("GET", path, partial(models.parse_response, kind), **rest)


def post(path: str, kind: type[T], **rest: Any) -> Request[T]:
    """Return a POST request whose response is a `kind`."""
    return Request("POST", path, partial(models.parse_response, kind), **rest)


def delete(path: str) -> Request[None]:
    """Return a DELETE request."""
    return Request("DELETE", path, lambda _response: None, deletes=True)


def job_path(job_id: str, *rest: str) -> str:
    """Return the path of a job, or of a resource below it."""
    return "/".join(["/v1/jobs", *(quote(part, safe="") for part in (job_id, *rest))])


def batch_path(batch_id: str, *rest: str) -> str:
    """Return the path of a batch, or of a resource below it."""
    return "/".join(["/v1/batches", *(quote(part, safe="") for part in (batch_id, *rest))])


def submission(
    picture: Picture, options: JobOptions, key: str | None, wait_s: float
) -> Request[models.Job]:
    """POST /v1/jobs, repeatable through an idempotency key, which is random by default."""
    headers = {"Idempotency-Key": key or uuid.uuid4().hex}
    if wait_s > 0:
        headers["Prefer"] = f"wait={wait_s:.0f}"
    body = body_of(picture, options)
    return post("/v1/jobs", models.Job, headers=headers, body=body, server_wait_s=wait_s)


def batch_submission(
    pictures: Sequence[Picture], options: JobOptions, key: str | None
) -> Request[models.Batch]:
    """POST /v1/batches; as `submission`."""
    headers = {"Idempotency-Key": key or uuid.uuid4().hex}
    return post("/v1/batches", models.Batch, headers=headers, body=batch_body_of(pictures, options))
