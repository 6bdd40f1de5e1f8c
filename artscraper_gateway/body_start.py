"""Start the application for a request when the first part of its body has arrived.

Routing, checks and the forms' parser cost a millisecond and some memory for each request. A client
that sends heads and then nothing causes neither.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FIRST_BYTES = 16 * 1024  # or the whole body, if it is shorter
_LONGEST_DIGITS = 12  # of a plausible Content-Length; the application refuses others at once


class BodyStart:
    """Calls `app` after the first 16 KiB of a body, or all of it, were received."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; return without an answer if its client leaves before that."""
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
