"""HTTP/1.1 connections whose cost is bounded before a request reaches the application.

uvicorn's h11 protocol parses one request of a connection at a time and stops reading while an
answer is not taken. The rest is bounded here: the number of connections, the time that a client
may take to send a request and to read the answer, and the bytes that wait behind a request.
`BodyStart` calls the application only when the first part of a request's body has arrived.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import resource
import time
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from artscraper_gateway.settings.model import GatewayConfig

_log = logging.getLogger(__name__)
_RESERVED_DESCRIPTORS = 256  # for files, the database, workers' pipes and outgoing requests
_MOST_CONNECTIONS = 10_000
_SWEEP_S = 1.0
_FRESH_S = 1.0  # a client that sent something this recently keeps its place
_FIRST_BYTES = 16 * 1024  # or the whole body, if it is shorter
_LONGEST_DIGITS = 12  # of a plausible Content-Length; the application refuses others at once


class ConnectionRegistry:
    """The open connections of one server, oldest first, and a sweep that ends the slow ones.

    Numbers of connections that are no settings follow from the limit on open files.
    """

    def __init__(self, settings: GatewayConfig) -> None:
        self.settings = settings
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        possible = max(16, min(_MOST_CONNECTIONS, descriptors - _RESERVED_DESCRIPTORS))
        most = self.max_connections = settings.max_connections or possible
        self.max_per_address = settings.max_connections_per_address or -(-most * 3 // 4)
        self._connections: dict[BoundedProtocol, str] = {}
        self._per_address: Counter[str] = Counter()
        self._sweeping: asyncio.TimerHandle | None = None

    def admit(self, connection: BoundedProtocol, address: str) -> bool:
        """Add a connection, if need be in the place of one that waits for its client."""
        if self._per_address[address] >= self.max_per_address:
            if not self._evict(address):
                return False
        elif len(self._connections) >= self.max_connections and not self._evict(None):
            return False
        self._connections[connection] = address
        self._per_address[address] += 1
        if self._sweeping is None:
            self._sweeping = connection.loop.call_later(_SWEEP_S, self._sweep, connection.loop)
        return True

    def remove(self, connection: BoundedProtocol) -> None:
        """Forget a connection; one that was not admitted is ignored."""
        address = self._connections.pop(connection, None)
        if address is not None:
            self._per_address[address] -= 1
            if self._per_address[address] <= 0:
                del self._per_address[address]

    def _evict(self, address: str | None) -> bool:
        """Abort the connection of the longest silent client, optionally of `address` only."""
        now = time.monotonic()
        silent = [
            (connection.silent_since, connection)
            for connection, peer in self._connections.items()
            if address in (None, peer) and connection.can_be_evicted(now)
        ]
        if not silent:
            return False
        _, victim = min(silent, key=lambda pair: pair[0])
        self.remove(victim)
        victim.transport.abort()
        return True

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        for connection in list(self._connections):
            connection.check_times(now)
        self._sweeping = loop.call_later(_SWEEP_S, self._sweep, loop) if self._connections else None


class BoundedConfig(uvicorn.Config):
    """uvicorn's configuration with the registry that its connections share."""

    def __init__(self, app: Any, *, settings: GatewayConfig, **options: Any) -> None:
        super().__init__(app, http=BoundedProtocol, ws="none", **options)
        self.registry = ConnectionRegistry(settings)


class BoundedProtocol(H11Protocol):
    """One connection: reads a request's head, then its body, then writes the response."""

    config: BoundedConfig

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._registry = self.config.registry
        now = time.monotonic()
        self.silent_since = now
        self._head_since: float | None = now
        self._body_since: float | None = None
        self._write_blocked_since: float | None = None
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit the connection, or answer 503 and close it."""
        super().connection_made(transport)
        if not self._registry.admit(self, _address_of(transport)):
            self._is_refused = True
            self._reject(503, "too-busy", "Too many connections are open; try again in a moment.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the connection's place."""
        self._registry.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser and note which part of a request the client has reached."""
        if self._is_refused or self.transport.is_closing():
            return
        now = self.silent_since = time.monotonic()
        if self._head_since is None and self.conn.their_state is h11.IDLE:
            self._head_since = now
        super().data_received(data)
        waiting = len(self.conn.trailing_data[0]) if self._is_answering else 0
        if waiting > self._registry.settings.max_pipelined_bytes:
            self.transport.abort()

    def handle_events(self) -> None:
        """Parse the received bytes, then restart the timers of the parts that ended."""
        try:
            super().handle_events()
        except h11.LocalProtocolError:  # an unreadable request behind one that is being answered
            self.transport.abort()
        self._note_part()

    def _note_part(self) -> None:
        state = self.conn.their_state
        if state is not h11.IDLE:
            self._head_since = None
        if state is not h11.SEND_BODY:
            self._body_since = None
        elif self._body_since is None:
            self._body_since = time.monotonic()

    def pause_writing(self) -> None:
        """Start the clock of a client that does not read its answer."""
        super().pause_writing()
        self._write_blocked_since = time.monotonic()

    def resume_writing(self) -> None:
        """Stop that clock."""
        super().resume_writing()
        self._write_blocked_since = None

    def can_be_evicted(self, now: float) -> bool:
        """Return whether no complete request is lost and the upload has stalled."""
        if self._body_since is not None:
            return not self.flow.read_paused and now - self.silent_since > _FRESH_S
        return not self._is_answering

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def check_times(self, now: float) -> None:
        """Abort the connection if its client took longer than a limit allows."""
        settings = self._registry.settings
        if self.flow.read_paused:  # the server does not read now: no fault of the client
            self.silent_since = now
        if self.transport.is_closing() and self._write_blocked_since is None:
            self._write_blocked_since = now  # the rest of the response must be read, too
        overdue = {
            "header_timeout": _is_over(self._head_since, settings.header_timeout, now),
            "body_timeout": _is_over(self._body_since, settings.body_timeout, now),
            "body_idle_timeout": self._body_since is not None
            and _is_over(self.silent_since, settings.body_idle_timeout, now),
            "response_stall_timeout": _is_over(
                self._write_blocked_since, settings.response_stall_timeout, now
            ),
        }
        for setting, is_over in overdue.items():
            if is_over:
                _log.debug("connection closed: %s is over", setting)
                self.transport.abort()
                return

    def send_400_response(self, msg: str) -> None:
        """Respond with a problem to a request that is not HTTP, or whose head is too long."""
        if len(self.conn.trailing_data[0]) >= (self.config.h11_max_incomplete_event_size or 0):
            expected = f"at most {self.config.h11_max_incomplete_event_size} bytes of headers"
            self._reject(431, "headers-too-large", f"Expected {expected}.")
        else:
            self._reject(400, "invalid-http", "Expected an HTTP/1.1 request.")

    def _reject(self, status: int, code: str, detail: str) -> None:
        if self.cycle is not None and self.cycle.response_started != self.cycle.response_complete:
            self.transport.abort()  # in the middle of another answer
            return
        body = json.dumps(
            {
                "type": f"urn:artscraper-gateway:problem:{code}",
                "title": HTTPStatus(status).phrase,
                "status": status,
                "detail": detail,
                "code": code,
            }
        ).encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
            "content-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\nretry-after: 5\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def _is_over(since: float | None, limit_s: float, now: float) -> bool:
    return since is not None and now - since > limit_s


def _address_of(transport: asyncio.Transport) -> str:
    """Return what connections are counted by: the IPv4 address, or the /64 of an IPv6 address."""
    peer = transport.get_extra_info("peername")
    if not isinstance(peer, tuple):
        return ""
    host = str(peer[0]).partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)


class BodyStart:
    """Call `app` after the first 16 KiB of a body, or all of it, were received.

    Routing, checks and the forms' parser cost a millisecond and some memory for each request. A
    client that sends heads and then nothing causes neither.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app; return without a response if the client disconnects before that."""
        if scope["type"] != "http" or not _announces_body(scope):
            await self.app(scope, receive, send)
            return
        messages: list[Message] = []
        size, is_complete = 0, False
        while size < _FIRST_BYTES and not is_complete:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            messages.append(message)
            size += len(message.get("body", b""))
            is_complete = not message.get("more_body", False)

        async def replay() -> Message:
            return messages.pop(0) if messages else await receive()

        await self.app(scope, replay, send)


def _announces_body(scope: Scope) -> bool:
    """Return whether to wait for a body: not if the client waits for `100 Continue` before it."""
    headers = {name.lower(): value for name, value in scope["headers"]}
    if b"expect" in headers or len(headers.get(b"content-length", b"")) > _LONGEST_DIGITS:
        return False
    return b"content-length" in headers or b"transfer-encoding" in headers
