"""Answer every error as `application/problem+json` (RFC 9457), without traces or server paths."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from artscraper_gateway.errors import BodyTooLarge, DatabaseAway, GatewayError, InvalidRequest
from artscraper_gateway.intake.upload import drain
from artscraper_gateway.outages import is_outage
from artscraper_gateway.schemas import ProblemDetails

_log = logging.getLogger(__name__)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def add_problem_handlers(app: FastAPI) -> None:
    """Makes `app` answer every kind of error as a problem."""
    app.add_exception_handler(GatewayError, _answer_gateway_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(SQLAlchemyError, _answer_database_error)
    app.add_exception_handler(Exception, _answer_unexpected)


def invalid_request(error: ValidationError) -> InvalidRequest:
    """Returns what pydantic found, as one readable sentence a field."""
    return InvalidRequest(_sentences(error.errors(include_url=False, include_context=False)))


async def _answer_gateway_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, GatewayError):
        raise error
    if isinstance(error, BodyTooLarge):
        await drain(request)
    return _problem(error.status, error.code, error.title, error.detail, error.headers)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    """What Starlette raises itself: no such path, method not allowed."""
    if not isinstance(error, HTTPException):
        raise error
    title = HTTPStatus(error.status_code).phrase
    code = title.lower().replace(" ", "-")
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed_methods(request))
    return _problem(error.status_code, code, title, str(error.detail), headers)


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


async def _answer_validation_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    problem = InvalidRequest(_sentences(error.errors()))
    return _problem(problem.status, problem.code, problem.title, problem.detail, {})


async def _answer_database_error(request: Request, error: Exception) -> Response:
    if isinstance(error, SQLAlchemyError) and is_outage(error):
        return await _answer_gateway_error(request, DatabaseAway())
    return await _answer_unexpected(request, error)


async def _answer_unexpected(_request: Request, error: Exception) -> Response:
    _log.error("unexpected error", exc_info=error)
    base = GatewayError("Something went wrong on the server; its log has the reason.")
    return _problem(base.status, base.code, base.title, base.detail, {})


def _problem(
    status: int, code: str, title: str, detail: str, headers: dict[str, str]
) -> JSONResponse:
    body = ProblemDetails(
        type=f"urn:artscraper-gateway:problem:{code}",
        title=title,
        status=status,
        detail=detail,
        code=code,
    )
    return JSONResponse(body.model_dump(), status, headers, media_type="application/problem+json")


def _sentences(errors: Sequence[object]) -> str:
    parts = []
    for found in errors:
        row = found if isinstance(found, dict) else {}
        location = row.get("loc")
        where = ".".join(str(step) for step in location) if isinstance(location, tuple) else ""
        message = str(row.get("msg", "not valid")).removeprefix("Value error, ")
        parts.append(f"{where}: {message}" if where else message)
    return "; ".join(parts)[:2000]
