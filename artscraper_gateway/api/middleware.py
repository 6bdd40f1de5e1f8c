"""Middleware around every request: observation, and the check of hosts and origins.

`Observation` gives a request its id, span, metrics and log line. `OriginCheck` protects the gateway
from web pages. A page that rebinds its host name to this machine is of the same origin for the
browser: the Host header identifies it. A page of another origin shows in Origin or Sec-Fetch-Site.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artscraper_gateway.db.retry import is_outage
from artscraper_gateway.errors import ForeignOrigin, GatewayError, UnknownHost
from artscraper_gateway.observability.logging import log_context
from artscraper_gateway.observability.metrics import Metrics
from artscraper_gateway.observability.tracing import Tracing
from artscraper_gateway.settings.model import GatewayConfig

_log = logging.getLogger(__name__)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
ANY_HOST_PATHS = ("/livez", "/readyz")  # they reveal nothing about jobs
PROBE_PATHS = (*ANY_HOST_PATHS, "/metrics")
# In the scope of a request: its id, and fields that are added to its answer.
REQUEST_ID = "artscraper_gateway.request_id"
RATE_LIMIT_FIELDS = "artscraper_gateway.rate_limit"

_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")  # ids of requests
_TRACE_CONTEXT = ("traceparent", "tracestate")

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, If-Match,"
    " If-Modified-Since, If-None-Match, If-Unmodified-Since, Last-Event-ID, Prefer, Range,"
    " traceparent, X-API-Key, X-Request-Id",
    "Access-Control-Max-Age": "600",  # s
}
_EXPOSED_HEADERS = (
    "Content-Disposition, Content-Location, Content-Range, Content-Usage, ETag, Link, Location,"
    " Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, tdm-policy, tdm-reservation,"
    " X-Job-Id, X-Request-Id, X-Robots-Tag"
)


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
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
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
            answer = _Answer(scope, receive, send)
            try:
                await self.app(scope, answer.receive, answer.send)
            except Exception as error:
                cause = error.__cause__ or error  # Starlette wraps exceptions that have a response
                if not (answer.has_begun and _is_away(cause)):
                    raise
                _log.warning("the response is aborted: %s", cause)
            finally:
                answer.record(method, span)


def _is_away(cause: BaseException) -> bool:
    """Return whether a file or the database became unavailable during the answer."""
    return isinstance(cause, OSError) or (isinstance(cause, SQLAlchemyError) and is_outage(cause))


class _Answer:
    """A response while it is sent, and the body of its request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.status = 500  # if the app fails before it answers
        self.has_begun = False
        self._metrics: Metrics = scope["app"].state.metrics
        self._scope, self._receive, self._send = scope, receive, send
        self._begun = time.perf_counter()

    async def receive(self) -> Message:
        message = await self._receive()
        if body := message.get("body"):
            self._metrics.received_bytes.inc(len(body))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.has_begun = message["status"], True
            added = [
                (b"x-request-id", self._scope[REQUEST_ID].encode()),
                *self._scope.get(RATE_LIMIT_FIELDS, ()),
            ]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        if body := message.get("body"):
            self._metrics.sent_bytes.inc(len(body))
        await self._send(message)

    def record(self, method: str, span: Any) -> None:
        """Trace and count the request by its route's pattern, whose values are few; log it."""
        taken_s, route = time.perf_counter() - self._begun, _route(self._scope)
        if span is not None:
            span.update_name(f"{method} {route}")
            span.set_attribute("http.route", route)
            span.set_attribute("http.response.status_code", self.status)
        if not is_probe(self._scope):
            self._metrics.requests.labels(self.status).inc()
            self._metrics.request_seconds.labels(method, route).observe(taken_s)
        path = self._scope["path"][:200]
        _log.debug("%s %s answered %d in %.3f s", method, path, self.status, taken_s)


def is_probe(scope: Scope) -> bool:
    """Return whether a monitoring system sent the request; those are not counted."""
    return _route(scope) in PROBE_PATHS


def _route(scope: Scope) -> str:
    """Return the route's pattern, such as /v1/jobs/{job_id}; "none" for unknown paths."""
    return str(getattr(scope.get("route"), "path", "none"))


class OriginCheck:
    """ASGI middleware: refuses unknown hosts and foreign origins, answers CORS preflights."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        config: GatewayConfig,
        needs_key: Callable[[Scope], Awaitable[bool]],
        respond: Callable[[Scope, GatewayError], Response],
    ) -> None:
        self.app, self._config = app, config
        self._needs_key, self._respond = needs_key, respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app, or respond with 421, 403 or to a preflight."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        allowed_origin = self._cors_origin(origin)
        send = _with_cors(send, allowed_origin, varies=bool(self._config.cors_origins))
        try:
            if scope["path"] not in ANY_HOST_PATHS:
                await self._check_host(scope, headers)
            is_preflight = (
                scope["method"] == "OPTIONS" and "access-control-request-method" in headers
            )
            if not allowed_origin and (is_preflight or scope["method"] not in SAFE_METHODS):
                _check_origin(headers, origin)
        except GatewayError as error:
            await self._respond(scope, error)(scope, receive, send)
            return
        if allowed_origin and is_preflight:
            await Response(status_code=204, headers=_PREFLIGHT_HEADERS)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _cors_origin(self, origin: str) -> str:
        """Return the value of Access-Control-Allow-Origin; "" if the origin may not read."""
        if not origin or origin == "null":
            return ""
        if "*" in self._config.cors_origins:
            return "*"
        return origin if origin.lower() in self._config.cors_origins else ""

    async def _check_host(self, scope: Scope, headers: Headers) -> None:
        """Raise UnknownHost; a request without Host (HTTP/1.0) comes from no browser."""
        values = headers.getlist("host")
        if not values:
            return
        match = _HOST.fullmatch(values[0])
        name = match[1].lower().rstrip(".") if match and len(values) == 1 else ""
        if name and is_trusted_host(name, self._config):
            return
        if name and not self._config.trusted_hosts and await self._needs_key(scope):
            return
        raise UnknownHost(
            "expected one of the gateway's own host names in Host; the setting trusted_hosts lists"
            " further ones"
        )


def is_trusted_host(name: str, config: GatewayConfig) -> bool:
    """Return whether requests may come by this host name (lower case, without a port).

    Without the setting these are names that no stranger can point at this machine: addresses, names
    without a dot, `.localhost`, and the address that the gateway listens on.
    """
    address = name.strip("[]")
    if config.trusted_hosts:
        return any(
            pattern in ("*", address)
            or (pattern.startswith(".") and (address.endswith(pattern) or address == pattern[1:]))
            for pattern in config.trusted_hosts
        )
    if "." not in address or address.endswith(".localhost") or address == config.host.lower():
        return True
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def _check_origin(headers: Headers, origin: str) -> None:
    """Raise ForeignOrigin for a request that changes something, sent by a page of elsewhere."""
    site = headers.get("sec-fetch-site", "")
    if site in ("same-origin", "none"):
        return
    if site == "cross-site" or (origin and not _is_same_origin(origin, headers.get("host", ""))):
        raise ForeignOrigin(
            "This request comes from a page of another site; the setting cors_origins lists the"
            " sites that may send it."
        )


def _is_same_origin(origin: str, host: str) -> bool:
    """Compare host and port; the scheme may differ behind a proxy that ends TLS."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        return False
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    default = _DEFAULT_PORTS[parts.scheme]
    return (parts.hostname.lower(), str(port or default)) == (
        match[1].strip("[]").lower(),
        match[2] or default,
    )


def _with_cors(send: Send, allowed_origin: str, *, varies: bool) -> Send:
    if not varies:
        return send

    async def send_with_cors(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": list(message.get("headers", ()))}
            headers = MutableHeaders(raw=message["headers"])
            headers.add_vary_header("Origin")
            if allowed_origin:
                headers["Access-Control-Allow-Origin"] = allowed_origin
                headers["Access-Control-Expose-Headers"] = _EXPOSED_HEADERS
        await send(message)

    return send_with_cors
