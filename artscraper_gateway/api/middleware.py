"""Middleware around every request: its id, its span, its metrics and its line in the log."""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artscraper_gateway.db.retry import is_outage
from artscraper_gateway.observability.logging import log_context
from artscraper_gateway.observability.metrics import RECEIVED, REQUESTS, SENT, Recorder
from artscraper_gateway.observability.tracing import Tracing

_log = logging.getLogger(__name__)
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADER = b"x-request-id"
_TRACE_CONTEXT = ("traceparent", "tracestate")
REQUEST_ID = "artscraper_gateway.request_id"  # in the scope


class Observation:
    """The outermost layer of the app. `X-Request-Id` is taken over if well-formed, else made."""

    def __init__(self, app: ASGIApp, *, recorder: Recorder, tracing: Tracing) -> None:
        self.app, self._recorder, self._tracing = app, recorder, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers as the app does, with the request's id in a header."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in _of(scope)}
        given = headers.get("x-request-id", "")
        request_id = given if _WELL_FORMED.fullmatch(given) else uuid.uuid4().hex
        scope[REQUEST_ID] = request_id
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        with (
            log_context(request_id=request_id),
            self._tracing.span(
                f"HTTP {method}",
                kind="server",
                parent={name: headers[name] for name in _TRACE_CONTEXT if name in headers},
                http__request__method=method,
                request__id=request_id,
            ) as span,
        ):
            answer = _Answer(self._recorder, request_id, receive, send)
            try:
                await self.app(scope, answer.receive, answer.send)
            except Exception as error:
                cause = error.__cause__ or error  # Starlette wraps what would have had an answer
                if not (answer.has_begun and _is_away(cause)):
                    raise
                _log.warning("the answer breaks off: %s", cause)  # so that nobody takes it as whole
            finally:
                _describe(span, method, _route(scope), answer.status)
                answer.log(method, scope["path"], counts=not is_probe(scope))


def _is_away(cause: BaseException) -> bool:
    """Whether a file or the database went while it was being sent."""
    return isinstance(cause, OSError) or (isinstance(cause, SQLAlchemyError) and is_outage(cause))


def _describe(span: Any, method: str, route: str, status: int) -> None:
    if span is not None:
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)


class _Answer:
    """One answer as it is sent, and the body that it answers."""

    def __init__(self, recorder: Recorder, request_id: str, receive: Receive, send: Send) -> None:
        self.status = 500  # of what breaks before it has begun to answer
        self.has_begun = False
        self._recorder, self._request_id = recorder, request_id
        self._receive, self._send = receive, send
        self._begun = time.perf_counter()

    async def receive(self) -> Message:
        message = await self._receive()
        if body := message.get("body"):
            self._recorder.count(RECEIVED, by=len(body))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.has_begun = message["status"], True
            named = (_HEADER, self._request_id.encode())
            message = {**message, "headers": [*message.get("headers", ()), named]}
        if body := message.get("body"):
            self._recorder.count(SENT, by=len(body))
        await self._send(message)

    def log(self, method: str, path: str, *, counts: bool) -> None:
        if counts:
            self._recorder.count(REQUESTS, str(self.status))
        taken_s = time.perf_counter() - self._begun
        _log.debug("%s %s answered %d in %.3f s", method, path[:200], self.status, taken_s)


def is_probe(scope: Scope) -> bool:
    """Whether a machine only looks how the gateway does: refusing it says nothing of callers."""
    return _route(scope) in ("/livez", "/readyz", "/metrics")


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def _of(scope: Scope) -> list[tuple[bytes, bytes]]:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    return headers


def _route(scope: Scope) -> str:
    """The route's own path, with names in the place of ids; few values, and nothing sent."""
    return str(getattr(scope.get("route"), "path", "none"))
