"""Answer every error as `application/problem+json` (RFC 9457), without traces or server paths."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

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
from artscraper_gateway.observability.logging import about
from artscraper_gateway.observability.metrics import REJECTIONS

_log = logging.getLogger(__name__)
_LOGGED = 300  # characters of a problem's detail
_CLIENT_CLOSED_REQUEST = 499  # what nginx has for it; RFC 9110 has nothing
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def add_problem_handlers(app: FastAPI) -> None:
    """Makes `app` answer every kind of error as a problem."""
    app.add_exception_handler(GatewayError, _answer_gateway_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(SQLAlchemyError, _answer_database_error)
    app.add_exception_handler(OSError, _answer_storage_error)
    app.add_exception_handler(ClientDisconnect, _answer_nobody)
    app.add_exception_handler(Exception, _answer_unexpected)


def invalid_request(error: ValidationError, *, at: tuple[str | int, ...] = ()) -> InvalidRequest:
    """Returns what pydantic found, as one readable sentence a field; `at` is what they are in."""
    found = error.errors(include_url=False, include_context=False)
    return InvalidRequest(_sentences([{**row, "loc": (*at, *row["loc"])} for row in found]))


async def _answer_gateway_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, GatewayError):
        raise error
    if isinstance(error, BodyTooLarge):
        await drain(request)
    if isinstance(error, StorageFailed):
        _log.warning("files or jobs cannot be stored: %s", error.__cause__)
    return _answer(request, error)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    """What Starlette raises itself: no such path, method not allowed."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == HTTPStatus.BAD_REQUEST:  # a body that is no JSON in an odd way
        return _answer(request, InvalidRequest(str(error.detail)))
    title = HTTPStatus(error.status_code).phrase
    code = title.lower().replace(" ", "-")
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed_methods(request))
    problem = _details(error.status_code, code, title, str(error.detail))
    return _problem(request, problem, headers)


def _allowed_methods(request: Request) -> list[str]:
    """Of all routes of the path: Starlette names those of the first one it finds."""
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
        return _answer(request, DiskFull("There is no room left; delete jobs, or ask again later."))
    if isinstance(error, SQLAlchemyError) and is_outage(error):
        return _answer(request, DatabaseAway())
    return await _answer_unexpected(request, error)


async def _answer_storage_error(request: Request, error: Exception) -> Response:
    """A disk or object storage that is away or full; what was done is not, or is safe to ask again.

    Files that are gone are told by who looks for them.
    """
    if not isinstance(error, OSError) or error.errno in (None, errno.ENOENT):
        return await _answer_unexpected(request, error)
    _log.warning("files cannot be reached", exc_info=error)
    return _answer(request, StorageFailed("Files could not be read or written; try again later."))


async def _answer_nobody(request: Request, _error: Exception) -> Response:
    """Nobody reads the answer to a request that broke off; the status is for the figures."""
    _log.debug("%s broke off", request.method)
    return Response(status_code=_CLIENT_CLOSED_REQUEST)


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    request_id = request.scope.get(REQUEST_ID, "")
    with about(request_id=request_id):  # this runs outside of what adds it to all other answers
        _log.error("unexpected error", exc_info=error)
        said = "Something went wrong on the server; its log has the reason."
        return _answer(request, GatewayError(said, headers={"X-Request-Id": request_id}))


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
        request.app.state.recorder.count(REJECTIONS, problem.code)
    level = logging.DEBUG if request.method in ("GET", "HEAD") else logging.INFO
    _log.log(level, "answered %d %s: %s", problem.status, problem.code, problem.detail[:_LOGGED])
    media_type = "application/problem+json"
    return JSONResponse(problem.model_dump(), problem.status, headers, media_type=media_type)


def _sentences(errors: Sequence[object]) -> str:
    parts = []
    for found in errors:
        row = found if isinstance(found, dict) else {}
        location = row.get("loc")
        where = ".".join(str(step) for step in location) if isinstance(location, tuple) else ""
        message = str(row.get("msg", "not valid")).removeprefix("Value error, ")
        parts.append(f"{where}: {message}" if where else message)
    return "; ".join(parts)[:2000]
