"""Return every error as `application/problem+json` (RFC 9457), without traces or server paths."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match
from starlette.types import Scope

from artscraper_gateway.api.form_models import JobForm, PartForm
from artscraper_gateway.api.middleware import REQUEST_ID, is_probe
from artscraper_gateway.api.schemas import ProblemDetails
from artscraper_gateway.db.retry import is_full, is_outage
from artscraper_gateway.errors import (
    BodyTooLarge,
    DatabaseAway,
    DiskFull,
    GatewayError,
    InvalidRequest,
    StorageFailed,
)
from artscraper_gateway.intake.upload import drain
from artscraper_gateway.jobs.request import BatchByReference, JobByReference
from artscraper_gateway.observability.logging import log_context
from artscraper_gateway.observability.metrics import Metrics

_log = logging.getLogger(__name__)
_LOGGED = 300  # characters of a problem's detail
_CLIENT_CLOSED_REQUEST = 499  # what nginx has for it; RFC 9110 has nothing
_FORM_FIELDS = tuple(JobForm.model_fields)
_FIELDS = {
    model.__name__: tuple(model.model_fields)
    for model in (JobByReference, BatchByReference, PartForm)
}
_MESSAGES = {  # instead of pydantic's, by type of error
    "missing": "expected a value, found none",
    "tuple_type": "expected names, as a list or separated by commas",
}
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def add_problem_handlers(app: FastAPI) -> None:
    """Make `app` answer every kind of error as a problem."""
    app.add_exception_handler(GatewayError, _answer_gateway_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(SQLAlchemyError, _answer_database_error)
    app.add_exception_handler(OSError, _answer_storage_error)
    app.add_exception_handler(ClientDisconnect, _answer_disconnected)
    app.add_exception_handler(Exception, _answer_unexpected)


def invalid_request(error: ValidationError, *, at: tuple[str | int, ...] = ()) -> InvalidRequest:
    """Return pydantic's findings, one sentence per field; `at` is the place of the whole value."""
    rows = error.errors(include_url=False, include_context=False)
    located = [{**row, "loc": (*at, *row["loc"])} for row in rows]
    return InvalidRequest(_sentences(located, _FIELDS.get(error.title, _FORM_FIELDS)))


def problem_response(scope: Scope, error: GatewayError) -> Response:
    """Return the answer to an error that a middleware raises."""
    return _answer(Request(scope), error)


async def _answer_gateway_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, GatewayError):
        raise error
    if isinstance(error, BodyTooLarge):
        await drain(request)
    if isinstance(error, StorageFailed):
        _metrics(request).storage_errors.inc()
        _log.warning("files or jobs cannot be stored: %s", error.__cause__)
    return _answer(request, error)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    """Convert what Starlette raises itself: unknown paths, methods that are not allowed."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == HTTPStatus.BAD_REQUEST:  # a body that is no JSON in an odd way
        return _answer(request, InvalidRequest(str(error.detail)))
    title = HTTPStatus(error.status_code).phrase
    code = title.lower().replace(" ", "-")
    headers, detail = dict(error.headers or {}), str(error.detail)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed_methods(request))
        detail = f"expected {headers['Allow']}, found {request.method[:20]}"
    problem = _details(error.status_code, code, title, detail)
    return _problem(request, problem, headers)


def _allowed_methods(request: Request) -> list[str]:
    """Return the methods of all routes of the path; Starlette lists the first route's only.

    For a path of its own, such as /v1/jobs/retry, the routes with a parameter in its place do not
    count.
    """
    own = request.app.openapi()["paths"].get(request.scope["path"])
    if own is not None:
        documented = {*own, "head"} if "get" in own else {*own}
        return [method for method in _METHODS if method.lower() in documented]
    return [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]


async def _answer_validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    return _answer(request, InvalidRequest(_sentences(error.errors())))


async def _answer_database_error(request: Request, error: Exception) -> Response:
    if is_full(error):
        return _answer(request, DiskFull("The disk is full; delete jobs, or try again later."))
    if isinstance(error, SQLAlchemyError) and is_outage(error):
        return _answer(request, DatabaseAway())
    return await _answer_unexpected(request, error)


async def _answer_storage_error(request: Request, error: Exception) -> Response:
    """Convert an outage of the disk or the object storage: the request can be retried.

    Missing files are reported where they are looked up.
    """
    if not isinstance(error, OSError) or error.errno in (None, errno.ENOENT):
        return await _answer_unexpected(request, error)
    _log.warning("files cannot be reached", exc_info=error)
    _metrics(request).storage_errors.inc()
    return _answer(request, StorageFailed("Files could not be read or written; try again later."))


async def _answer_disconnected(request: Request, _error: Exception) -> Response:
    """Return the status that metrics count for a request whose client disconnected."""
    _log.debug("%s broke off", request.method)
    return Response(status_code=_CLIENT_CLOSED_REQUEST)


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    request_id = request.scope.get(REQUEST_ID, "")
    with log_context(request_id=request_id):  # this runs outside of the middleware that adds it
        _log.error("unexpected error", exc_info=error)
        detail = "Something went wrong on the server; its log has the reason."
        return _answer(request, GatewayError(detail, headers={"X-Request-Id": request_id}))


def _metrics(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


def _answer(request: Request, error: GatewayError) -> JSONResponse:
    problem = _details(error.status, error.code, error.title, error.detail)
    return _problem(request, problem, error.headers)


def _details(status: int, code: str, title: str, detail: str) -> ProblemDetails:
    kind = f"urn:artscraper-gateway:problem:{code}"
    return ProblemDetails(type=kind, title=title, status=status, detail=detail, code=code)


def _problem(
    request: Request, problem: ProblemDetails, headers: Mapping[str, str] | None
) -> JSONResponse:
    if not is_probe(request.scope):
        _metrics(request).rejections.labels(problem.code).inc()
    level = logging.DEBUG if request.method in ("GET", "HEAD") else logging.INFO
    _log.log(level, "answered %d %s: %s", problem.status, problem.code, problem.detail[:_LOGGED])
    media_type = "application/problem+json"
    return JSONResponse(problem.model_dump(), problem.status, headers, media_type=media_type)


def _sentences(errors: Sequence[object], fields: Sequence[str] = _FORM_FIELDS) -> str:
    parts = []
    for error in errors:
        row = error if isinstance(error, dict) else {}
        location = row.get("loc")
        where = ".".join(str(step) for step in location) if isinstance(location, tuple) else ""
        message = _MESSAGES.get(row.get("type", ""), str(row.get("msg", "not valid")))
        message = message.removeprefix("Value error, ").replace("Tuple should", "List should")
        if row.get("type") == "extra_forbidden":
            message = _unknown_field(where.rpartition(".")[2], fields)
            where = where.rpartition(".")[0]
        parts.append(f"{where}: {message}" if where else message)
    return "; ".join(parts)[:2000]


def _unknown_field(name: str, fields: Sequence[str]) -> str:
    """Name the fields that exist, the nearest one first."""
    near = get_close_matches(name.lower().replace("-", "_"), fields, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown field {name[:80]!r}; {hint}valid: {', '.join(fields)}"
