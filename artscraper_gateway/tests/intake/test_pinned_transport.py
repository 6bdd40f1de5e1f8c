"""TLS against the name although the connection goes to the address; use by an httpx client."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import httpx
import pytest
import trustme

from artscraper_gateway.errors import DownloadFailed, ForbiddenAddress
from artscraper_gateway.intake.download import download
from artscraper_gateway.net.address_guard import AddressRules
from artscraper_gateway.net.pinned_transport import PinnedTransport, direct_transport, parse_target
from artscraper_gateway.tests.intake.loopback_server import (
    LoopbackServer,
    Names,
    redirect,
    reply,
    serve,
)

pytestmark = pytest.mark.anyio

STRICT = AddressRules()
LOOPBACK = AddressRules(allow_private=True)
NAMES = {"pictures_example": ["127.0.0.1"], "other_example": ["127.0.0.1"]}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def fetch(url: str, folder: Path, *, context: ssl.SSLContext | None = None) -> bytes:
    await download(
        url,
        folder / "picture",
        max_bytes=1_000,
        timeout_s=20,
        rules=LOOPBACK,
        lookup=Names(**NAMES),
        connector=partial(direct_transport, context),
    )
    return (folder / "picture").read_bytes()


async def test_certificate_is_verified_against_the_host(
    tmp_path: Path, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    server_names: list[str | None] = []
    context = server_context(authority, "pictures.example")
    context.sni_callback = lambda _, name, __: server_names.append(name)
    async with serve(reply(b"picture"), ssl_context=context) as server:
        url = server.url(host="Pictures.example.")
        assert await fetch(url, tmp_path, context=trusting) == b"picture"
    assert server_names == ["pictures.example"]


async def test_certificate_is_verified_against_an_ip_address(
    tmp_path: Path, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    context = server_context(authority, "127.0.0.1")
    async with serve(reply(b"picture"), ssl_context=context) as server:
        assert await fetch(server.url(), tmp_path, context=trusting) == b"picture"


@pytest.mark.parametrize("names", [["other.example"], ["127.0.0.1"], ["*.pictures.example"]])
async def test_certificate_for_another_host_is_refused(
    tmp_path: Path, authority: trustme.CA, trusting: ssl.SSLContext, names: Sequence[str]
) -> None:
    async with serve(reply(), ssl_context=server_context(authority, *names)) as server:
        with pytest.raises(DownloadFailed, match="certificate"):
            await fetch(server.url(host="pictures.example"), tmp_path, context=trusting)
    assert server.requests == []


async def test_certificate_of_unknown_authority_is_refused(
    tmp_path: Path, authority: trustme.CA
) -> None:
    context = server_context(authority, "pictures.example")
    async with serve(reply(), ssl_context=context) as server:
        with pytest.raises(DownloadFailed, match="certificate"):
            await fetch(server.url(host="pictures.example"), tmp_path)
    assert server.requests == []


async def test_server_without_tls_is_refused(tmp_path: Path, trusting: ssl.SSLContext) -> None:
    async def speak_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"picture"))
        writer.close()

    async with await asyncio.start_server(speak_first, "127.0.0.1", 0) as server:
        url = f"https://pictures.example:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(DownloadFailed, match="could not be reached"):
            await fetch(url, tmp_path, context=trusting)


async def test_tls_sessions_are_separate_per_host(
    tmp_path: Path, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(redirect(server.url(host="other.example")))

    context = server_context(authority, "pictures.example")
    async with serve(answer, ssl_context=context) as server:
        with pytest.raises(DownloadFailed, match="certificate"):
            await fetch(server.url(host="pictures.example"), tmp_path, context=trusting)
    assert len(server.requests) == 1


async def test_connections_are_not_shared_between_hosts(
    authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    async def keep_open(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"picture"))
        await asyncio.Event().wait()

    context = server_context(authority, "pictures.example")
    transport = PinnedTransport(
        LOOPBACK, lookup=Names(**NAMES), connector=partial(direct_transport, trusting)
    )
    async with (
        serve(keep_open, ssl_context=context) as server,
        httpx.AsyncClient(transport=transport, trust_env=False, timeout=5) as browser,
    ):
        answer = await browser.get(server.url(host="pictures.example"))
        assert answer.content == b"picture"
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await browser.get(server.url(host="other.example"))


async def test_garbage_in_tls_stream_fails(
    tmp_path: Path, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    async def derail(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"picture")[:-1])
        await writer.drain()
        peer: socket.socket = writer.get_extra_info("socket")
        os.write(peer.fileno(), b"no TLS record at all")
        await asyncio.Event().wait()

    context = server_context(authority, "pictures.example")
    async with serve(derail, ssl_context=context) as server:
        with pytest.raises(DownloadFailed, match="connection broke"):
            await fetch(server.url(host="pictures.example"), tmp_path, context=trusting)


async def test_redirect_from_https_to_http_is_refused(
    tmp_path: Path, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    async def go_down(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(redirect(plain.url()) if path == "/down" else reply(b"picture"))

    async def go_up(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(redirect(secure.url()))

    context = server_context(authority, "127.0.0.1")
    async with serve(go_up) as plain, serve(go_down, ssl_context=context) as secure:
        with pytest.raises(DownloadFailed, match="https to http"):
            await fetch(secure.url("/down"), tmp_path, context=trusting)
        assert plain.requests == []
        assert await fetch(plain.url(), tmp_path, context=trusting) == b"picture"


async def test_next_address_is_tried_after_a_refusal() -> None:
    names = Names(pictures_example=["127.0.0.3", "127.0.0.2", "127.0.0.1"])
    async with serve(reply(b"picture")) as server, client(LOOPBACK, names) as browser:
        answer = await browser.get(server.url(host="pictures.example"))
    assert answer.content == b"picture"


async def test_four_addresses_are_tried_at_most() -> None:
    names = Names(pictures_example=[f"127.0.0.{last}" for last in (6, 5, 4, 3, 1)])
    async with serve(reply(b"picture")) as server, client(LOOPBACK, names) as browser:
        with pytest.raises(httpx.ConnectError):
            await browser.get(server.url(host="pictures.example"))


def client(rules: AddressRules, names: Names) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=PinnedTransport(rules, lookup=names), trust_env=False)


async def post(server: LoopbackServer, host: str, rules: AddressRules) -> httpx.Response:
    async with client(rules, Names(**NAMES)) as browser:
        return await browser.post(server.url("/hook", host=host), content=b"payload")


async def test_client_posts_through_transport() -> None:
    async with serve(reply(status=202)) as server:
        answer = await post(server, "pictures.example", LOOPBACK)
    assert answer.status_code == 202
    assert answer.request.url.host == "pictures.example"
    assert server.requests[0].startswith("POST /hook HTTP/1.1\r\n")
    assert f"host: pictures.example:{server.port}\r\n" in server.requests[0].lower()


@pytest.mark.parametrize("host", ["pictures.example", "127.0.0.1", "[::1]"])
async def test_client_receives_the_refusal(host: str) -> None:
    async with serve(reply()) as server:
        with pytest.raises(ForbiddenAddress):
            await post(server, host, STRICT)
    assert server.requests == []


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://example.org/", "example.org"),
        ("http://example.org:80/", "example.org"),
        ("https://example.org:80/", "example.org:80"),
        ("http://EXAMPLE.org.:8080/", "example.org:8080"),
        ("https://[2606:4700::1111]/", "[2606:4700::1111]"),
        ("http://[2606:4700::1111]:81/", "[2606:4700::1111]:81"),
        ("http://bücher.example/", "xn--bcher-kva.example"),
    ],
)
def test_host_header_has_name_and_unusual_port(url: str, authority: str) -> None:
    assert parse_target(url, STRICT).authority == authority
