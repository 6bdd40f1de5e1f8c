"""The application starts for a request when the first part of its body has arrived."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from artscraper_gateway.connections import BodyStart

DISCONNECT: Message = {"type": "http.disconnect"}


def part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def run(messages: list[Message], **headers: str) -> tuple[list[Message], int]:
    """Return what the application received, and how many messages had come before it started."""
    waiting, received, taken_at_start = list(messages), [], -1

    async def receive() -> Message:
        return waiting.pop(0)

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        nonlocal taken_at_start
        taken_at_start = len(messages) - len(waiting)
        for _ in messages:
            received.append(await receive())

    async def send(_message: Message) -> None:
        raise AssertionError("nothing is answered here")

    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope: dict[str, Any] = {"type": "http", "headers": encoded}
    asyncio.run(BodyStart(app)(scope, receive, send))
    return received, taken_at_start


def test_short_body_is_read_before_the_application_starts() -> None:
    messages = [part(b"{", more=True), part(b"}", more=False)]
    assert run(messages, content_length="2") == (messages, 2)
    assert run(messages, transfer_encoding="chunked") == (messages, 2)


def test_long_body_is_not_awaited() -> None:
    messages = [part(b"a" * 10_000, more=True)] * 4 + [part(b"", more=False)]
    assert run(messages, content_length="40000") == (messages, 2)


@pytest.mark.parametrize(
    "headers",
    [{}, {"content_length": "2", "expect": "100-continue"}, {"content_length": "9" * 19}],
    ids=["none", "expected", "too long"],
)
def test_requests_without_body_start_at_once(headers: dict[str, str]) -> None:
    messages = [part(b"{}", more=False)]
    assert run(messages, **headers) == (messages, 0)


def test_early_disconnect_never_reaches_the_application() -> None:
    assert run([part(b"{", more=True), DISCONNECT], content_length="2") == ([], -1)
