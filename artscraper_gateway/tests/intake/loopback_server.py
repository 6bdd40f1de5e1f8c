"""A real HTTP server on loopback whose answers are whatever bytes a test wants to send."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx

from artscraper_gateway.net.pinned_transport import default_ssl_context

PUBLIC_V4 = "93.184.215.14"

Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class LoopbackServer:
    """Listens on 127.0.0.1. `requests` are the heads that came, in order."""

    port: int
    scheme: str = "http"
    requests: list[str] = field(default_factory=list)

    def url(self, path: str = "/picture.png", *, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"


def reply(body: bytes = b"", *, status: int = 200, headers: Sequence[str] = ()) -> bytes:
    """Return a whole answer with its Content-Length."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def redirect(location: str, *, status: int = 302) -> bytes:
    return reply(status=status, headers=[f"Location: {location}"])


@asynccontextmanager
async def serve(
    answer: bytes | Answer, *, ssl_context: ssl.SSLContext | None = None
) -> AsyncIterator[LoopbackServer]:
    """Send the same bytes to each request, or let `answer(path, writer)` write."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            running.requests.append(head)
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                await answer(head.split(" ")[1], writer)
            await writer.drain()
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(handle(reader, writer))
        tasks.add(task)
        task.add_done_callback(lambda _: writer.close())

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=ssl_context)
    port = server.sockets[0].getsockname()[1]
    running = LoopbackServer(port, "https" if ssl_context else "http")
    try:
        yield running
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class PublicOnLoopback(httpx.AsyncHTTPTransport):
    """Stands in for the internet: connections to the public address end at loopback.

    Attributes:
        reached: the addresses that connections were requested for, in order.
    """

    def __init__(self) -> None:
        super().__init__(verify=default_ssl_context())
        self.reached: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.reached.append(request.url.host)
        if request.url.host == PUBLIC_V4:
            request.url = request.url.copy_with(host="127.0.0.1")
            return await super().handle_async_request(request)
        raise httpx.ConnectError("refused", request=request)


class Names:
    """A resolver with a fixed list of names. `lookups` are the requested names, in order."""

    def __init__(self, **addresses: Sequence[str]) -> None:
        self._addresses = {name.replace("_", "."): found for name, found in addresses.items()}
        self.lookups: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.lookups.append(host)
        if host not in self._addresses:
            raise OSError("unknown")
        return self._addresses[host]
