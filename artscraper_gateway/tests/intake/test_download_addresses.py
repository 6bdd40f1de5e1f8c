"""Addresses that downloads may connect to: schemes, redirects, rebinding, proxies."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from artscraper_gateway.errors import DownloadFailed, ForbiddenAddress, GatewayError
from artscraper_gateway.intake.download import download
from artscraper_gateway.net.address_guard import AddressRules, Lookup
from artscraper_gateway.tests.intake.loopback_server import (
    PUBLIC_V4,
    Names,
    PublicOnLoopback,
    redirect,
    reply,
    serve,
)

pytestmark = pytest.mark.anyio

STRICT = AddressRules()
LOOPBACK = AddressRules(allow_private=True)
NAMES = {"public_example": [PUBLIC_V4], "other_example": [PUBLIC_V4]}


def files(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def content(file: Path) -> bytes:
    return file.read_bytes()


def check_failure(problem: GatewayError, folder: Path) -> None:
    assert files(folder) == []
    secrets = ("127.0.0.1", "10.0.0.1", PUBLIC_V4, "pw")
    assert not any(secret in problem.detail for secret in secrets)


async def fetch(
    url: str,
    folder: Path,
    *,
    internet: PublicOnLoopback,
    rules: AddressRules = STRICT,
    lookup: Lookup | None = None,
) -> bytes:
    """Download over the pretended internet; after an error the folder must be empty."""
    picture = folder / "picture"
    try:
        await download(
            url,
            picture,
            max_bytes=100_000,
            timeout_s=20,
            rules=rules,
            lookup=lookup or Names(**NAMES),
            connector=lambda: internet,
        )
    except GatewayError as exc:
        check_failure(exc, folder)
        raise
    return content(picture)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://public.example/a.png",
        "gopher://public.example/_GET",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "HTTPS+unix://public.example/",
        "//public.example/a.png",
        "public.example/a.png",
        "/a.png",
        "",
        " http://public.example/",
        "http:public.example",
        "http:///a.png",
        "http://",
        "http://public.example\n.evil.net/",
        "http://public.example:0/",
        "http://public.example:65536/",
        "http://public.example:-1/",
        "http://public.example:80:80/",
        "http://[::1/",
        "http://xn--a/",
        "http://name:pw@public.example/",
        "http://name@public.example/",
        "http://public.example\\@127.0.0.1/",
        "http://127.0.0.1#@public.example/",
        "http://127.0.0.1/",
        "http://127.0.0.1:8080/",
        "http://[::1]/",
        "http://localhost/",
        "http://0/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://public.example/" + "a" * 8_000,
    ],
)
async def test_forbidden_url_opens_no_connection(tmp_path: Path, url: str) -> None:
    internet, names = PublicOnLoopback(), Names(**NAMES)
    with pytest.raises(ForbiddenAddress):
        await fetch(url, tmp_path, internet=internet, lookup=names)
    assert (internet.reached, names.lookups) == ([], [])


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], [PUBLIC_V4, "10.0.0.1"], ["10.0.0.1", PUBLIC_V4], ["fe80::1%1"]]
)
async def test_host_with_private_address_opens_no_connection(
    tmp_path: Path, addresses: Sequence[str]
) -> None:
    internet = PublicOnLoopback()
    lookup = Names(public_example=addresses)
    with pytest.raises(ForbiddenAddress):
        await fetch("http://public.example/", tmp_path, internet=internet, lookup=lookup)
    assert internet.reached == []


async def test_connection_goes_to_the_checked_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookups: list[str] = []

    async def rebind(host: str, port: int) -> Sequence[str]:
        lookups.append(host)
        return [PUBLIC_V4] if len(lookups) == 1 else ["127.0.0.1"]

    def getaddrinfo(*_: object, **__: object) -> None:
        raise AssertionError("a second look-up")

    internet = PublicOnLoopback()
    async with serve(reply(b"picture")) as server:
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        url = server.url(host="Public.example.")
        assert await fetch(url, tmp_path, internet=internet, lookup=rebind) == b"picture"
    assert (lookups, internet.reached) == (["public.example"], [PUBLIC_V4])
    assert f"host: public.example:{server.port}\r\n" in server.requests[0].lower()


async def test_redirect_is_resolved_and_checked(tmp_path: Path) -> None:
    lookups: list[str] = []

    async def rebind(host: str, port: int) -> Sequence[str]:
        lookups.append(host)
        return [PUBLIC_V4] if len(lookups) == 1 else ["127.0.0.1"]

    internet = PublicOnLoopback()
    async with serve(redirect("/again")) as server:
        url = server.url(host="public.example")
        with pytest.raises(ForbiddenAddress):
            await fetch(url, tmp_path, internet=internet, lookup=rebind)
    assert (len(lookups), internet.reached) == (2, [PUBLIC_V4])


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/secret",
        "http://[::1]:{port}/secret",
        "http://localhost:{port}/secret",
        "http://2130706433:{port}/secret",
        "http://[::ffff:127.0.0.1]:{port}/secret",
        "http://intranet.example:{port}/secret",
        "//169.254.169.254/latest/meta-data/",
        "http://name:pw@public.example:{port}/secret",
        "file:///etc/passwd",
        "ftp://public.example/a.png",
        "http://xn--a/",
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_to_forbidden_address_is_not_followed(
    tmp_path: Path, location: str, status: int
) -> None:
    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(redirect(location.format(port=server.port), status=status))

    internet, names = PublicOnLoopback(), Names(intranet_example=["10.0.0.1"], **NAMES)
    async with serve(answer) as server:
        url = server.url(host="public.example")
        with pytest.raises((ForbiddenAddress, DownloadFailed)):
            await fetch(url, tmp_path, internet=internet, lookup=names)
    assert len(server.requests) == 1
    assert internet.reached == [PUBLIC_V4]


@pytest.mark.parametrize(("redirects", "is_followed"), [(1, True), (3, True), (4, False)])
async def test_fourth_redirect_is_not_followed(
    tmp_path: Path, redirects: int, is_followed: bool
) -> None:
    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        done = int(path.strip("/"))
        host = ("public", "other")[done % 2]
        target = f"http://{host}.example:{server.port}/{done + 1}"
        writer.write(redirect(target) if done < redirects else reply(b"picture"))

    async with serve(answer) as server:
        url = server.url("/0", host="public.example")
        if is_followed:
            assert await fetch(url, tmp_path, internet=PublicOnLoopback()) == b"picture"
        else:
            with pytest.raises(DownloadFailed, match="more than 3 times"):
                await fetch(url, tmp_path, internet=PublicOnLoopback())
    assert len(server.requests) == min(redirects, 3) + 1


async def test_redirect_loop_ends_after_three(tmp_path: Path) -> None:
    async with serve(redirect("")) as blank, serve(redirect("/again")) as loop:
        for server, text in ((loop, "more than 3 times"), (blank, "without saying where")):
            url = server.url(host="public.example")
            with pytest.raises(DownloadFailed, match=text):
                await fetch(url, tmp_path, internet=PublicOnLoopback())
    assert (len(loop.requests), len(blank.requests)) == (4, 1)


@pytest.mark.parametrize("location", ["http://[::1", "http://a:b:c/", "http://a:99999/"])
async def test_redirect_to_invalid_url_fails(tmp_path: Path, location: str) -> None:
    async with serve(redirect(location)) as server:
        url = server.url(host="public.example")
        with pytest.raises((DownloadFailed, ForbiddenAddress)):
            await fetch(url, tmp_path, internet=PublicOnLoopback())


async def test_redirect_to_unlisted_host_is_refused(
    tmp_path: Path,
) -> None:
    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(redirect(server.url(host="other.example")))

    rules = AddressRules(allowed_hosts=("public.example",))
    async with serve(answer) as server:
        for host in ("public.example", "other.example"):
            url = server.url(host=host)
            with pytest.raises(ForbiddenAddress, match="list of allowed hosts"):
                await fetch(url, tmp_path, internet=PublicOnLoopback(), rules=rules)
    assert len(server.requests) == 1


async def test_cookies_are_not_sent_again(tmp_path: Path) -> None:
    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        cookie = ["Set-Cookie: a=b; Path=/", "Location: /next"]
        is_first = path == "/picture.png"
        writer.write(reply(status=302, headers=cookie) if is_first else reply(b"picture"))

    async with serve(answer) as server:
        await fetch(server.url(host="public.example"), tmp_path, internet=PublicOnLoopback())
    assert [head.split()[1] for head in server.requests] == ["/picture.png", "/next"]
    assert not any("cookie" in head.lower() for head in server.requests)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
async def test_proxy_variables_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with serve(reply(b"from the proxy")) as proxy, serve(reply(b"picture")) as server:
        monkeypatch.setenv(name, proxy.url(""))
        await download(server.url(), tmp_path / "x", max_bytes=100, timeout_s=20, rules=LOOPBACK)
    assert content(tmp_path / "x") == b"picture"
    assert proxy.requests == []
