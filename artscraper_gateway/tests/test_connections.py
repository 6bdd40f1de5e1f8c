"""One unauthenticated connection costs little: bounds of bytes, connections and time."""

from __future__ import annotations

import asyncio
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress

import pytest

from artscraper_gateway.connections import BoundedConfig, ConnectionRegistry
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import GatewayProcess, until
from benchmarks.service.connection_attacks import ATTACKS, MAX_GROWTH_MB, measure

pytestmark = pytest.mark.system
Start = Callable[..., GatewayProcess]


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    options = {
        "worker_concurrency": 0,
        "max_connections": 40,
        "max_pipelined_bytes": 2048,
        "header_timeout": 1,
        "body_idle_timeout": 1,
        "body_timeout": 3,
        "response_stall_timeout": 1,
    }
    process = GatewayProcess(tmp_path_factory.mktemp("bounded"), options).start()
    yield process
    process.stop()


def connect(gateway: GatewayProcess, *, source: str = "127.0.0.1") -> socket.socket:
    host, port = gateway.base_url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=5, source_address=(source, 0))


def ends(connection: socket.socket, *, within_s: float = 20) -> bool:
    """Return whether the server ends the connection, reading what it sends until then."""
    deadline = time.monotonic() + within_s
    connection.settimeout(1)
    while time.monotonic() < deadline:
        with suppress(TimeoutError):
            try:
                if not connection.recv(65_536):
                    return True
            except ConnectionError:
                return True
    return False


@pytest.mark.parametrize("attack", [name for name in ATTACKS if name != "none"])
def test_attack_is_bounded(attack: str) -> None:
    """A third of the benchmark's 30 s and of its 50 MB; each probe of another client succeeds."""
    cost = measure(attack, 10)
    assert cost.probes > 7 and not cost.unanswered, cost
    assert max(cost.grown_mb, cost.kept_mb) < MAX_GROWTH_MB / 3, cost


def test_long_headers_are_431_and_malformed_ones_400(bounded: GatewayProcess) -> None:
    for sent, status, code in (
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000, b"431", b"headers-too-large"),
        (b"\x16\x03\x01 nonsense\r\n\r\n", b"400", b"invalid-http"),
    ):
        with closing(connect(bounded)) as connection:
            connection.sendall(sent)
            answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 " + status) and code in answer, answer
        assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"G",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
        b"Content-Type: application/json\r\n\r\n{",
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/json\r\n\r\n5\r\n{",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /livez HTT",
    ],
    ids=["nothing", "a byte", "no end", "body", "chunk", "second request"],
)
def test_stalled_request_is_closed(bounded: GatewayProcess, sent: bytes) -> None:
    with closing(connect(bounded)) as connection:
        connection.sendall(sent)
        assert ends(connection)


def test_pipelined_requests_are_bounded(
    bounded: GatewayProcess, picture: Callable[..., bytes]
) -> None:
    with bounded.client() as client:
        job = client.post("/v1/jobs", files={"file": picture()}).json()["job_id"]
    request = f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with closing(connect(bounded)) as connection:
        connection.sendall(request)
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.sendall(request * 100)
        assert ends(connection)


def test_trickling_body_is_closed_at_its_deadline(bounded: GatewayProcess) -> None:
    with closing(connect(bounded)) as connection:
        connection.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n"
            b"Content-Type: application/json\r\n\r\n"
        )

        def trickle() -> bool:
            time.sleep(0.1)
            try:
                connection.send(b" ")
            except OSError:
                return True
            return False

        until(trickle, what="the connection ends", timeout_s=20)


def test_idle_connections_make_room_for_new_ones() -> None:
    """In process: 4 connections are open, then a fifth comes."""

    async def run(sent: bytes) -> list[bytes]:
        released = asyncio.Event()

        async def app(scope: object, receive: object, send: Callable[..., object]) -> None:
            await released.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[misc]
            await send({"type": "http.response.body", "body": b""})  # type: ignore[misc]

        settings = GatewayConfig(max_connections=4, max_connections_per_address=4)
        config = BoundedConfig(app, settings=settings, log_config=None)
        config.load()
        from uvicorn.server import ServerState

        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: config.http_protocol_class(config=config, server_state=state, app_state={}),  # type: ignore[call-arg]
            "127.0.0.1",
            0,
        )
        port = server.sockets[0].getsockname()[1]
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        for _, writer in pairs:
            writer.write(sent)
            await writer.drain()
        await asyncio.sleep(0.1)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        released.set()
        answers = []
        for each in (reader, *(pair[0] for pair in pairs)):
            with suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(2):
                    answers.append(await each.read(12))
        for each in (writer, *(pair[1] for pair in pairs)):
            each.close()
        server.close()
        return answers

    whole = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert asyncio.run(run(whole)) == [b"HTTP/1.1 503", *4 * [b"HTTP/1.1 200"]]
    assert asyncio.run(run(whole[:-2]))[0] == b"HTTP/1.1 200"


def test_connections_per_address_are_limited(start_gateway: Start) -> None:
    gateway = start_gateway(worker_concurrency=0, max_connections=12, max_connections_per_address=4)
    with ExitStack() as held:
        kept = held.enter_context(closing(connect(gateway, source="127.0.0.3")))
        kept.sendall(b"GET /livez HTTP/1.1\r\n")
        for _ in range(30):
            held.enter_context(closing(connect(gateway, source="127.0.0.2")))
        time.sleep(0.2)
        kept.sendall(b"Host: localhost\r\n\r\n")
        assert kept.recv(12) == b"HTTP/1.1 200"


def test_client_that_does_not_read_is_closed(
    bounded: GatewayProcess, picture: Callable[..., bytes]
) -> None:
    content = picture(2000, 2000)  # 12 MB, more than the kernel's buffers take
    with bounded.client() as client:
        job = client.post("/v1/jobs", files={"file": content}).json()["job_id"]
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = bounded.base_url.removeprefix("http://").split(":")
        connection.connect((host, int(port)))
        connection.sendall(
            f"GET /v1/jobs/{job}/layers/original HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
        time.sleep(4)
        connection.settimeout(10)
        read = 0
        with suppress(ConnectionError):
            while part := connection.recv(65_536):
                read += len(part)
        assert read < len(content)


def test_limits_follow_from_descriptor_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    registry = ConnectionRegistry(GatewayConfig())
    assert (registry.max_connections, registry.max_per_address) == (768, 576)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 4096))
    assert ConnectionRegistry(GatewayConfig()).max_connections == 16
    chosen = ConnectionRegistry(GatewayConfig(max_connections=5, max_connections_per_address=2))
    assert (chosen.max_connections, chosen.max_per_address) == (5, 2)


def test_steady_upload_is_not_closed(bounded: GatewayProcess) -> None:
    """Slower than body_idle_timeout in all, but never silent for that long."""
    body = b'{"local_path": "nothing"}'
    with closing(connect(bounded)) as connection:
        connection.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        for part in (body[:5], body[5:10], body[10:15], body[15:]):
            time.sleep(0.5)
            connection.sendall(part)
        assert connection.recv(12) == b"HTTP/1.1 422"


def test_connection_count_returns_to_zero(bounded: GatewayProcess) -> None:
    def open_and_close() -> None:
        for _ in range(20):
            with suppress(OSError):
                connect(bounded).close()

    threads = [threading.Thread(target=open_and_close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ExitStack() as held:
        for _ in range(25):
            client = held.enter_context(bounded.client())
            assert client.get("/livez").status_code == 200
