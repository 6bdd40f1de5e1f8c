"""Normalised hosts, and the list of allowed hosts."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest

from artscraper_gateway.errors import ForbiddenAddress
from artscraper_gateway.net.address_guard import AddressRules, check_host, resolve
from artscraper_gateway.net.host_names import plain_host
from artscraper_gateway.tests.intake.disguises import host_disguises

pytestmark = pytest.mark.anyio

STRICT = AddressRules()
PUBLIC_V4 = "93.184.215.14"
PUBLIC_V6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"


async def never_asked(host: str, port: int) -> Sequence[str]:
    raise AssertionError(f"{host!r} was looked up")


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "..",
        "example..org",
        ".example.org",
        "example.org..",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "*",
        "exa mple.org",
        "example.org:80",
        "user@example.org",
        "example.org/",
        "example.org\x00",
        "example.org\n",
        "example%2eorg",
        "[example.org]",
        "[::1",
        "::1]",
        "[8.8.8.8]",
        "[v1.fe]",
        f"[{PUBLIC_V6}%25eth0]",
        "a" * 64 + ".org",
        "a." * 127 + "org",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "example.0x7f",
        "example.1",
        "0x",
        "\uff18.8.8.8",
        "\ud800.org",
        "exam\u00adple.org",
    ],
)
async def test_ambiguous_hosts_are_refused_before_lookup(host: str) -> None:
    with pytest.raises(ForbiddenAddress):
        await resolve(host, 80, STRICT, lookup=never_asked)


@pytest.mark.parametrize("host", ["fe80::1%eth0", "[2606:4700::1111%25eth0]", "::1%1"])
def test_address_with_zone_is_refused(host: str) -> None:
    with pytest.raises(ForbiddenAddress):
        plain_host(host)


@pytest.mark.parametrize("name", sorted(host_disguises(IPv4Address("127.0.0.1"))))
async def test_disguised_hosts_are_refused_before_lookup(name: str) -> None:
    host = host_disguises(IPv4Address("127.0.0.1"))[name]
    with pytest.raises(ForbiddenAddress):
        await resolve(host, 80, STRICT, lookup=never_asked)


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("Example.ORG", "example.org"),
        ("example.org.", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("my_bucket.example.org", "my_bucket.example.org"),
        ("8.8.8.8", "8.8.8.8"),
        ("8.8.8.8.", "8.8.8.8"),
        ("[2606:4700::0:1111]", "2606:4700::1111"),
        ("2606:4700::1111", "2606:4700::1111"),
        ("0x7f.example.org", "0x7f.example.org"),
        ("1.example.org", "1.example.org"),
    ],
)
def test_host_names_are_normalised(host: str, plain: str) -> None:
    assert plain_host(host) == plain
    assert check_host(host, STRICT) == plain


@pytest.mark.parametrize(
    ("entry", "host", "allowed"),
    [
        ("example.org", "example.org", True),
        ("example.org", "EXAMPLE.org.", True),
        ("Example.Org.", "example.org", True),
        ("example.org", "www.example.org", False),
        ("example.org", "badexample.org", False),
        ("example.org", "example.org.evil.net", False),
        (".example.org", "example.org", True),
        (".example.org", "a.b.example.org", True),
        (".example.org", "badexample.org", False),
        ("bücher.example", "xn--bcher-kva.example", True),
        (PUBLIC_V4, PUBLIC_V4, True),
        (PUBLIC_V4, "1.1.1.1", False),
        ("[2606:4700::1111]", "2606:4700:0::1111", True),
    ],
)
def test_allowed_hosts_exclude_all_others(entry: str, host: str, allowed: bool) -> None:
    rules = AddressRules(allowed_hosts=("other.example", entry))
    if allowed:
        check_host(host, rules)
        return
    with pytest.raises(ForbiddenAddress, match="list of allowed hosts"):
        check_host(host, rules)


@pytest.mark.parametrize("entry", ["", ".", "*", "*.example.org", "http://example.org", "127.1"])
def test_invalid_host_entries_are_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="allowed_hosts"):
        AddressRules(allowed_hosts=(entry,))


def test_allowed_hosts_as_string_are_refused() -> None:
    with pytest.raises(ValueError, match="one string"):
        AddressRules(allowed_hosts="example.org")  # type: ignore[arg-type]
