"""Downloads from servers that lie, dawdle, flood and break off."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from pathlib import Path

import pytest

from artscraper_gateway.errors import (
    DownloadFailed,
    ForbiddenAddress,
    GatewayError,
    StorageFailed,
    TooLarge,
)
from artscraper_gateway.intake.download import download
from artscraper_gateway.net.address_guard import UNUSABLE_NAME, AddressRules, Lookup, system_lookup
from artscraper_gateway.tests.intake.loopback_server import reply, serve

pytestmark = pytest.mark.anyio

LOOPBACK = AddressRules(allow_private=True)
FULL = Path("/dev/full")
BODY = bytes(range(256)) * 40


def files(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def content(file: Path) -> bytes:
    return file.read_bytes()


def check_failure(problem: GatewayError, folder: Path) -> None:
    assert files(folder) == []
    assert not any(secret in problem.detail for secret in ("127.0.0.1", "Whatever", "secret"))


async def fetch(
    url: str,
    folder: Path,
    *,
    max_bytes: int = 1_000_000,
    timeout_s: float = 20.0,
    lookup: Lookup = system_lookup,
    rules: AddressRules = LOOPBACK,
) -> bytes:
    """Download into `folder` and return the file's bytes; after an error it must be empty."""
    picture = folder / "picture"
    try:
        size = await download(
            url,
            picture,
            max_bytes=max_bytes,
            timeout_s=timeout_s,
            rules=rules,
            lookup=lookup,
        )
    except GatewayError as exc:
        check_failure(exc, folder)
        raise
    assert files(folder) == ["picture"]
    body = content(picture)
    assert len(body) == size
    return body


async def test_download_writes_the_body_and_sends_a_user_agent(tmp_path: Path) -> None:
    async with serve(reply(BODY)) as server:
        assert await fetch(server.url("/a%20b?c=d#e"), tmp_path) == BODY
    head = server.requests[0].lower()
    assert head.startswith("get /a%20b?c=d http/1.1\r\n")
    assert f"host: 127.0.0.1:{server.port}\r\n" in head
    assert "user-agent: artscraper-gateway" in head
    assert "accept-encoding: identity\r\n" in head
    assert not any(name in head for name in ("cookie", "authorization", "referer"))


@pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 400, 401, 404, 410, 429, 500, 503])
async def test_error_states_the_status_but_not_the_body(tmp_path: Path, status: int) -> None:
    async with serve(reply(b"" if status in (204, 304) else b"secret", status=status)) as server:
        with pytest.raises(DownloadFailed, match=f"status {status}"):
            await fetch(server.url(), tmp_path)


async def test_empty_body_fails(tmp_path: Path) -> None:
    async with serve(reply()) as server:
        with pytest.raises(DownloadFailed, match="empty"):
            await fetch(server.url(), tmp_path)


async def test_download_limit_is_exact(
    tmp_path: Path,
) -> None:
    async with serve(reply(BODY)) as server:
        assert await fetch(server.url(), tmp_path, max_bytes=len(BODY)) == BODY
        (tmp_path / "picture").unlink()
        with pytest.raises(TooLarge):
            await fetch(server.url(), tmp_path, max_bytes=len(BODY) - 1)


async def test_too_large_content_length_fails_before_the_body(tmp_path: Path) -> None:
    async def announce(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000001\r\n\r\n")
        await asyncio.Event().wait()

    async with serve(announce) as server:
        with pytest.raises(TooLarge, match="1000000 bytes"):
            await fetch(server.url(), tmp_path)


@pytest.mark.parametrize("is_chunked", [True, False])
async def test_endless_body_is_cut_at_limit(tmp_path: Path, is_chunked: bool) -> None:
    sent = 0

    async def flood(path: str, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        framing = b"Transfer-Encoding: chunked\r\n" if is_chunked else b""
        writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
        piece = b"10000\r\n" + bytes(0x10000) + b"\r\n" if is_chunked else bytes(0x10000)
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            sent += 0x10000

    async with serve(flood) as server:
        with pytest.raises(TooLarge):
            await fetch(server.url(), tmp_path, max_bytes=3_000_000)
    assert sent < 40_000_000  # what the two sockets hold, and no more


async def test_trickling_body_times_out(tmp_path: Path) -> None:
    async def drip(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serve(drip) as server:
        with pytest.raises(DownloadFailed, match=r"within 0\.3 s"):
            await fetch(server.url(), tmp_path, timeout_s=0.3)


@pytest.mark.parametrize(
    "beginning",
    [b"", b"HTTP/1.1 200 OK\r\nX-Header: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234"],
)
async def test_silent_server_times_out(tmp_path: Path, beginning: bytes) -> None:
    async def fall_silent(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        await asyncio.Event().wait()

    async with serve(fall_silent) as server:
        with pytest.raises(DownloadFailed, match="within"):
            await fetch(server.url(), tmp_path, timeout_s=0.2)


async def test_endless_interim_responses_time_out(tmp_path: Path) -> None:
    async def stall(path: str, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)
            await writer.drain()

    async with serve(stall) as server:
        with pytest.raises(DownloadFailed):
            await fetch(server.url(), tmp_path, timeout_s=0.3)


async def test_hanging_lookup_times_out(tmp_path: Path) -> None:
    async def hang(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(DownloadFailed, match="within"):
        await fetch("http://example.org/", tmp_path, timeout_s=0.1, lookup=hang)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nsecret\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nsecret",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nsecret",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nsecret",
        b"HTTP/1.1 200 OK\r\n" + b"X-Header: secret\r\n" * 100_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX Y: secret\r\n\r\nsecret",
        b"HTTP/1.1 2000 OK\r\n\r\nsecret",
        b"SSH-2.0-secret\r\n",
        b"\x00\x01\x02 secret",
        b"",
    ],
)
async def test_download_of_a_broken_response_fails(tmp_path: Path, answer: bytes) -> None:
    async with serve(answer) as server:
        with pytest.raises(DownloadFailed, match="not valid HTTP"):
            await fetch(server.url(), tmp_path)


async def test_bytes_beyond_content_length_are_ignored(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\npictureHTTP/1.1 200 OK\r\n\r\nmore"
    async with serve(answer) as server:
        assert await fetch(server.url(), tmp_path) == b"picture"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "x-gzip", "identity, gzip", "GZIP"])
async def test_encoded_body_is_refused_unread(tmp_path: Path, coding: str) -> None:
    bomb = gzip.compress(bytes(10_000_000))
    async with serve(reply(bomb, headers=[f"Content-Encoding: {coding}"])) as server:
        with pytest.raises(DownloadFailed, match="encoded"):
            await fetch(server.url(), tmp_path)


async def test_identity_encoding_is_accepted(tmp_path: Path) -> None:
    async with serve(reply(BODY, headers=["Content-Encoding: Identity"])) as server:
        assert await fetch(server.url(), tmp_path) == BODY


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234"])
async def test_download_of_a_reset_connection_fails(tmp_path: Path, beginning: bytes) -> None:
    async def reset(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        peer: socket.socket = writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with serve(reset) as server:
        with pytest.raises(DownloadFailed, match=r"broke|not valid"):
            await fetch(server.url(), tmp_path)


async def test_download_from_a_closed_port_fails(tmp_path: Path) -> None:
    async with serve(b"") as server:
        pass
    with pytest.raises(DownloadFailed, match="could not be reached"):
        await fetch(server.url(), tmp_path)


async def test_unknown_and_private_hosts_have_the_same_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The names of a private network cannot be listed; the operator's log has which it was."""

    def unknown(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def private(*_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 80))]

    caplog.set_level("INFO")
    details = []
    for lookup in (unknown, private):
        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        with pytest.raises(ForbiddenAddress) as refused:
            await fetch("http://name.example/", tmp_path, rules=AddressRules())
        details.append(refused.value.detail)
    assert details == [UNUSABLE_NAME] * 2
    assert "host name is unknown" in caplog.text and "not public" in caplog.text
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DownloadFailed, match="has no address"):
        await fetch("http://name.example/", tmp_path)


async def test_cancelled_download_leaves_no_file(tmp_path: Path) -> None:
    started = asyncio.Event()

    async def begin(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(600_000))
        await writer.drain()
        started.set()
        await asyncio.Event().wait()

    async with serve(begin) as server:
        task = asyncio.create_task(fetch(server.url(), tmp_path))
        await started.wait()
        assert files(tmp_path) == ["picture.part"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert files(tmp_path) == []


async def test_download_replaces_a_file_only_on_success(tmp_path: Path) -> None:
    picture = tmp_path / "picture"
    picture.write_bytes(b"old")
    async with serve(reply(b"new")) as server:
        for limit, expected in ((2, b"old"), (3, b"new")):
            try:
                await download(server.url(), picture, max_bytes=limit, timeout_s=20, rules=LOOPBACK)
            except TooLarge:
                assert limit == 2
            assert content(picture) == expected


async def test_missing_folder_is_a_server_error(tmp_path: Path) -> None:
    async with serve(reply(BODY)) as server:
        with pytest.raises(StorageFailed):
            await download(
                server.url(), tmp_path / "no" / "x", max_bytes=9, timeout_s=9, rules=LOOPBACK
            )
    assert server.requests == []


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")
async def test_full_disk_is_a_server_error(tmp_path: Path) -> None:
    (tmp_path / "picture.part").symlink_to(FULL)
    async with serve(reply(BODY)) as server:
        with pytest.raises(StorageFailed):
            await fetch(server.url(), tmp_path)
