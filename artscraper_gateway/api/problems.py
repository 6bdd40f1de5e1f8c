"""Return every error as `application/problem+json` (RFC 9457), without traces or server paths."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match
from starlette.types import Scope

from artscraper_gateway.api.forms import JobForm
from artscraper_gateway.api.middleware import METHODS, REQUEST_ID, is_probe
from artscraper_gateway.api.schemas import ProblemDetails
from artscraper_gateway.api.validation import sentences
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
from artscraper_gateway.observability.logging import log_context
from artscraper_gateway.observability.metrics import Metrics

_log = logging.getLogger(__name__)
_LOGGED = 300  # characters of a problem's detail
_CLIENT_CLOSED_REQUEST = 499  # what nginx has for it; RFC 9110 has nothing


def add_problem_handlers(app: FastAPI) -> None:
    """Make `app` answer every kind of error as a problem."""
    app.exception_handler(GatewayError)(_answer_gateway_error)
    app.exception_handler(HTTPException)(_answer_http_exception)
    app.exception_handler(RequestValidationError)(_answer_validation_error)
    app.exception_handler(SQLAlchemyError)(_answer_database_error)
    app.exception_handler(OSError)(_answer_storage_error)
    app.exception_handler(ClientDisconnect)(_answer_disconnected)
    app.exception_handler(Exception)(_answer_unexpected)


def problem_response(scope: Scope, error: GatewayError) -> Response:
    """Return the answer to an error that a middleware raises."""
    return _answer(Request(scope), error)


async def _answer_gateway_error(request: Request, error: GatewayError) -> Response:
    if isinstance(error, BodyTooLarge):
        await drain(request)
    if isinstance(error, StorageFailed):
        _metrics(request).storage_errors.inc()
        _log.warning("files or jobs cannot be stored: %s", error.__cause__)
    return _answer(request, error)


async def _answer_http_exception(request: Request, error: HTTPException) -> Response:
    """Convert what Starlette raises itself: unknown paths, methods that are not allowed."""
    if error.status_code == HTTPStatus.BAD_REQUEST:  # a body that is no JSON in an odd way
        return _answer(request, InvalidRequest(str(error.detail)))
    title = HTTPStatus(error.status_code).phrase
    code = title.lower().replace(" ", "-")
    headers, detail = dict(error.headers or {}), str(error.detail)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed_methods(request))
        detail = f"expected {headers['Allow']}, found {request.method[:20]}"
    return _problem(request, ProblemDetails.of(error.status_code, code, title, detail), headers)


def _allowed_methods(request: Request) -> list[str]:
    """Return the methods of all routes of the path; Starlette lists the first route's only.

    For a path of its own, such as /v1/jobs/retry, the routes with a parameter in its place do not
    count.
    """
    own = request.app.openapi()["paths"].get(request.scope["path"])
    if own is not None:
        documented = {*own, "head"} if "get" in own else {*own}
        return [method for method in METHODS if method.lower() in documented]
    return [
        method
        for method in METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]


async def _answer_validation_error(request: Request, error: RequestValidationError) -> Response:
    return _answer(request, InvalidRequest(sentences(error.errors(), tuple(JobForm.model_fields))))


async def _answer_database_error(request: Request, error: SQLAlchemyError) -> Response:
    if is_full(error):
        return _answer(request, DiskFull("The disk is full; delete jobs, or try again later."))
    if is_outage(error):
        return _answer(request, DatabaseAway())
    return await _answer_unexpected(request, error)


async def _answer_storage_error(request: Request, error: OSError) -> Response:
    """Convert an outage of the disk or the object storage: the request can be retried.

    Missing files are reported where they are looked up.
    """
    if error.errno in (None, errno.ENOENT):
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


def _answer(request: Request, error: GatewayError) -> Response:
    problem = ProblemDetails.of(error.status, error.code, error.title, error.detail)
    return _problem(request, problem, error.headers)


def _problem(request: Request, problem: ProblemDetails, headers: Mapping[str, str]) -> Response:
    if not is_probe(request.scope):
        _metrics(request).rejections.labels(problem.code).inc()
    level = logging.DEBUG if request.method in ("GET", "HEAD") else logging.INFO
    _log.log(level, "answered %d %s: %s", problem.status, problem.code, problem.detail[:_LOGGED])
    media_type = "application/problem+json"
    return JSONResponse(problem.model_dump(), problem.status, headers, media_type=media_type)
