"""Check the host names of requests and the web pages that send them.

A page that rebinds its host name to this machine is of the same origin for the browser: the Host
header identifies it. A page of another origin shows in Origin or Sec-Fetch-Site.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artscraper_gateway.errors import ForeignOrigin, GatewayError, UnknownHost
from artscraper_gateway.settings.model import GatewayConfig

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")
PROBES = ("/livez", "/readyz")  # answered under any host name; they reveal nothing about jobs
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
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
Respond = Callable[[Scope, GatewayError], Response]
NeedsKey = Callable[[Scope], Awaitable[bool]]


class OriginCheck:
    """ASGI middleware: refuses unknown hosts and foreign origins, answers CORS preflights."""

    def __init__(
        self, app: ASGIApp, *, config: GatewayConfig, needs_key: NeedsKey, respond: Respond
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
            if scope["path"] not in PROBES:
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
        if name and (is_trusted_host(name, self._config)):
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
