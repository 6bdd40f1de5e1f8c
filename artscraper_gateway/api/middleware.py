"""Middleware around every request: its id, its span, its metrics and its line in the log."""

from __future__ import annotations

import logging
import re
import time
import uuid
from contextlib import nullcontext
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artscraper_gateway.db.retry import is_outage
from artscraper_gateway.observability.logging import log_context
from artscraper_gateway.observability.metrics import Metrics
from artscraper_gateway.observability.tracing import Tracing

_log = logging.getLogger(__name__)
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADER = b"x-request-id"
_TRACE_CONTEXT = ("traceparent", "tracestate")
PROBE_PATHS = ("/livez", "/readyz", "/metrics")
REQUEST_ID = "artscraper_gateway.request_id"  # in the scope


class Observation:
    """The outermost middleware. A well-formed `X-Request-Id` is kept, else one is made."""

    def __init__(self, app: ASGIApp, *, tracing: Tracing) -> None:
        self.app, self._tracing = app, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app, adding the request's id as a header."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")
        if not _WELL_FORMED.fullmatch(request_id):
            request_id = uuid.uuid4().hex
        scope[REQUEST_ID] = request_id
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        span_of_request = (
            nullcontext()  # probes come every few seconds
            if scope["path"] in PROBE_PATHS
            else self._tracing.span(
                f"HTTP {method}",
                kind="server",
                parent={name: headers[name] for name in _TRACE_CONTEXT if name in headers},
                http__request__method=method,
                request__id=request_id,
            )
        )
        with log_context(request_id=request_id), span_of_request as span:
            answer = _Answer(scope["app"].state.metrics, request_id, receive, send)
            try:
                await self.app(scope, answer.receive, answer.send)
            except Exception as error:
                cause = error.__cause__ or error  # Starlette wraps exceptions that have a response
                if not (answer.has_begun and _is_away(cause)):
                    raise
                _log.warning("the response is aborted: %s", cause)
            finally:
                _describe(span, method, _route(scope), answer.status)
                answer.record(method, _route(scope), scope["path"], counts=not is_probe(scope))


def _is_away(cause: BaseException) -> bool:
    """Return whether a file or the database became unavailable during the answer."""
    return isinstance(cause, OSError) or (isinstance(cause, SQLAlchemyError) and is_outage(cause))


def _describe(span: Any, method: str, route: str, status: int) -> None:
    if span is not None:
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)


class _Answer:
    """A response while it is sent, and the body of its request."""

    def __init__(self, metrics: Metrics, request_id: str, receive: Receive, send: Send) -> None:
        self.status = 500  # if the app fails before it answers
        self.has_begun = False
        self._metrics, self._request_id = metrics, request_id
        self._receive, self._send = receive, send
        self._begun = time.perf_counter()

    async def receive(self) -> Message:
        message = await self._receive()
        if body := message.get("body"):
            self._metrics.received_bytes.inc(len(body))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.has_begun = message["status"], True
            named = (_HEADER, self._request_id.encode())
            message = {**message, "headers": [*message.get("headers", ()), named]}
        if body := message.get("body"):
            self._metrics.sent_bytes.inc(len(body))
        await self._send(message)

    def record(self, method: str, route: str, path: str, *, counts: bool) -> None:
        """Count and log the request. `route` is a pattern: its values are few."""
        taken_s = time.perf_counter() - self._begun
        if counts:
            self._metrics.requests.labels(self.status).inc()
            self._metrics.request_seconds.labels(method, route).observe(taken_s)
        _log.debug("%s %s answered %d in %.3f s", method, path[:200], self.status, taken_s)


def is_probe(scope: Scope) -> bool:
    """Return whether a monitoring system sent the request; those are not counted."""
    return _route(scope) in PROBE_PATHS


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def _route(scope: Scope) -> str:
    """Return the route's pattern, such as /v1/jobs/{job_id}; "none" for unknown paths."""
    return str(getattr(scope.get("route"), "path", "none"))
