"""The OpenAPI description: problems of each route with codes, headers and examples."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from artscraper_gateway import errors
from artscraper_gateway.api.middleware import ANY_HOST_PATHS
from artscraper_gateway.api.openapi import body_schemas
from artscraper_gateway.api.result_schemas import JobResult
from artscraper_gateway.api.schemas import (
    MODELS_WITH_NULL,
    QUEUED_JOB_EXAMPLE,
    ProblemDetails,
)
from artscraper_gateway.errors import GatewayError

Responses = dict[int | str, dict[str, Any]]
# Problems of any route that reads the database, and of routes that need an API key.
OPEN = (GatewayError, errors.DatabaseAway, errors.DiskFull)
KEYED = (*OPEN, errors.Unauthorized, errors.Forbidden, errors.RateLimited)
# Reasons to refuse a picture, and a job or a batch.
PICTURE = (
    errors.TooLarge,
    errors.UnsupportedPicture,
    errors.UnsupportedRequestBody,
    errors.BrokenPicture,
    errors.InvalidRequest,
)
SUBMISSION = (
    *PICTURE,
    errors.ForbiddenAddress,
    errors.DownloadFailed,
    errors.UnusableLocalPath,
    errors.IdempotencyKeyReused,
    errors.QueueFull,
    errors.StorageFailed,
)
# Problems of routes that serve results.
RESULTS = (errors.NotFound, errors.NotReady, errors.JobFailed, errors.StorageFailed)
# Of running a job again: settings may have changed since it was accepted.
REPETITION = (
    errors.NotFound,
    errors.NotReady,
    errors.InvalidRequest,
    errors.ForbiddenAddress,
    errors.TooLarge,
    errors.UnsupportedPicture,
    errors.BrokenPicture,
    errors.QueueFull,
    errors.StorageFailed,
)
_DETAILS = {
    "internal-error": "Something went wrong on the server; its log has the reason.",
    "invalid-request": "strength: Input should be 'low', 'medium' or 'high'",
    "forbidden-address": "127.0.0.1 is not a public address",
    "download-failed": "example.org answered 404",
    "unusable-local-path": "There is no such file that may be used.",
    "broken-picture": "the picture is damaged",
    "too-large": "expected at most 50000000 pixels, found 80000000 (50 MP, found 80 MP)",
    "unsupported-picture": "expected one of JPEG, PNG, WebP, TIFF, GIF, BMP, AVIF",
    "unsupported-request-body": "expected multipart/form-data or application/json",
    "not-found": "There is no job with this id.",
    "not-ready": "The job is running; try again in a moment.",
    "job-failed": "The job failed: the job was cancelled",
    "idempotency-key-reused": "This Idempotency-Key was used with another payload; send a new key.",
    "unauthorized": "Send an API key, as Authorization: Bearer KEY or as X-API-Key: KEY.",
    "foreign-origin": "This request comes from a page of another site.",
    "unknown-host": "expected one of the gateway's own host names in Host",
    "link-not-valid": "The link has expired; ask for a new one.",
    "precondition-failed": "If-Match names none of the file's versions.",
    "forbidden": "This API key does not have the scope submit.",
    "queue-full": "10000 of at most 10000 jobs wait, and 1 more was sent; try again later.",
    "rate-limited": "This API key may be used 60/min; try again in 3 s.",
    "unsatisfiable-range": "The file has 512 bytes; the range begins behind its end.",
    "too-busy": "Too many pictures are being read; try again in a moment.",
    "storage-failed": "Files could not be read or written; try again later.",
    "draining": "It is shutting down; use another instance.",
    "disk-full": "0.4 GB of the disk are free; 1 GB is the least.",
    "workers-down": "The worker of slot 0 hung and is being replaced; jobs are accepted and wait.",
    "database-away": "Try again in a moment.",
}
_BEGINNINGS = ("/v1/jobs", "/v1/protect", "/v1/jobs/{job_id}/retry")  # answer a queued job
_HEADERS = {
    401: {"WWW-Authenticate": "Bearer"},
    409: {"Retry-After": "seconds, if waiting helps"},
    429: {"Retry-After": "seconds"},
    503: {"Retry-After": "seconds, if known"},
}
_SECURITY: list[dict[str, list[str]]] = [{}, {"bearer": []}, {"header": []}]
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key, if any exists"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def problems(*kinds: type[GatewayError], common: Iterable[type[GatewayError]] = KEYED) -> Responses:
    """Return the `responses` of a route that may answer with these, and with the common ones."""
    by_status: dict[int, list[type[GatewayError]]] = {}
    for kind in (*kinds, *common):
        by_status.setdefault(kind.status, []).append(kind)
    return {status: _response(status, by_status[status]) for status in sorted(by_status)}


def _response(status: int, kinds: list[type[GatewayError]]) -> dict[str, Any]:
    examples = {kind.code: {"summary": kind.title, "value": _example(kind)} for kind in kinds}
    headers = {
        name: {"description": text, "schema": {"type": "string"}}
        for name, text in _HEADERS.get(status, {}).items()
    }
    codes = ", ".join(f"`{code}`" for code in examples)
    return {
        "description": f"{HTTPStatus(status).phrase}: {codes}",
        "headers": headers,
        "content": {
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/ProblemDetails"},
                "examples": examples,
            }
        },
    }


def _example(kind: type[GatewayError]) -> dict[str, Any]:
    return ProblemDetails.of(kind.status, kind.code, kind.title, _DETAILS[kind.code]).model_dump()


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI description: with problems, and API keys where they are needed.

    FastAPI gives every route with a parameter a 422 of its own form, which this gateway never
    answers with.
    """
    schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
    components = schema["components"]
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    components["schemas"].update(body_schemas())
    with_null: tuple[type[BaseModel], ...] = (*MODELS_WITH_NULL, JobResult)
    for model in with_null:
        extra = cast(dict[str, Any], model.model_config["json_schema_extra"])
        components["schemas"][model.__name__]["example"] = extra["example"]
    components["schemas"]["ProblemDetails"] = ProblemDetails.model_json_schema()
    components["securitySchemes"] = _SCHEMES
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            _complete(operation, signs_in=path == "/v1/session")
            if path not in ANY_HOST_PATHS:
                _add_problem(operation, errors.UnknownHost)
            if method in ("post", "delete"):
                _add_problem(operation, errors.ForeignOrigin)
            if method == "post" and path in _BEGINNINGS:
                for answer in operation["responses"].values():
                    if "application/json" in answer.get("content", {}):
                        answer["content"]["application/json"]["example"] = QUEUED_JOB_EXAMPLE
    return schema


def _complete(operation: dict[str, Any], *, signs_in: bool) -> None:
    answers = operation["responses"]
    if "application/json" in answers.get("422", {}).get("content", {}):
        del answers["422"]
    if "401" in answers and not signs_in:
        operation["security"] = _SECURITY


def _add_problem(operation: dict[str, Any], kind: type[GatewayError]) -> None:
    """Add a problem of a middleware to those of the same status."""
    added = _response(kind.status, [kind])
    present = operation["responses"].setdefault(str(kind.status), added)
    if present is not added:
        media_type = "application/problem+json"
        present["content"][media_type]["examples"].update(added["content"][media_type]["examples"])
        present["description"] += f", `{kind.code}`"
