"""The address guard against addresses and hosts that pretend to be something else."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artscraper_gateway.errors import ForbiddenAddress
from artscraper_gateway.net.address_guard import AddressRules, check_address, resolve, system_lookup
from artscraper_gateway.net.pinned_transport import parse_target
from artscraper_gateway.tests.intake.disguises import (
    FORBIDDEN_V4,
    address_disguises,
    disguised_hosts,
    disguised_urls,
)

pytestmark = pytest.mark.anyio

STRICT = AddressRules()
PRIVATE = AddressRules(allow_private=True)
PUBLIC_V4 = "93.184.215.14"
PUBLIC_V6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"

NETWORKS = [
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
forbidden_v4 = st.one_of([st.ip_addresses(network=network) for network in NETWORKS])


def answers(*addresses: str) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    async def lookup(host: str, port: int) -> Sequence[str]:
        return addresses

    return lookup


def is_refused(check: Callable[[str, AddressRules], object], text: str) -> bool:
    try:
        check(text, STRICT)
    except ForbiddenAddress:
        return True
    return False


async def never_asked(host: str, port: int) -> Sequence[str]:
    raise AssertionError(f"{host!r} was looked up")


@pytest.mark.parametrize(
    "address",
    [
        *FORBIDDEN_V4,
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "::7f00:1",
        "::ffff:0:127.0.0.1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "64:ff9b::7f00:1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::808:808",
        "64:ff9b:2::1",
        "2001:0:7f00:1::f7f7:f7f7",
        "2001:0:808:808::80ff:fffe",
        "2a00:1450:4001:1::5efe:7f00:1",
        "2a00:1450:4001:1:200:5efe:a00:1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "100::1",
        "2001:2::1",
        "2001:20::1",
        "2001:db8::1",
        "3fff::1",
        "3ffe::1",
        "5f00::1",
        "4000::1",
        "fe80::1%eth0",
        "fe80::1%1",
        f"{PUBLIC_V6}%eth0",
        "::ffff:8.8.8.8%eth0",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "8.8.8.8.",
        " 8.8.8.8",
        "8.8.8.8/32",
        "[::1]",
        "",
        "example.org",
    ],
)
def test_address_guard_refuses_non_public_addresses(address: str) -> None:
    with pytest.raises(ForbiddenAddress):
        check_address(address, STRICT)


@pytest.mark.parametrize(
    "address",
    [
        PUBLIC_V4,
        PUBLIC_V6,
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.0",
        "168.63.129.15",
        "172.15.255.255",
        "172.32.0.0",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "::ffff:0:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
        "2001:0:808:808::f7f7:f7f7",
        "2001:200::1",
    ],
)
def test_address_guard_allows_neighbours_of_refused_ranges(address: str) -> None:
    check_address(address, STRICT)
    check_address(ipaddress.ip_address(address), STRICT)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.1.1", "100.64.0.1", "::1", "fd12::1", "::ffff:10.0.0.1"],
)
def test_private_addresses_need_permission(address: str) -> None:
    check_address(address, PRIVATE)
    with pytest.raises(ForbiddenAddress):
        check_address(address, STRICT)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "fd00:ec2::254",
        "fd20:ce::254",
        "192.0.0.192",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "0.0.0.0",
        "::",
        "255.255.255.255",
        "224.0.0.1",
        "fe80::1",
        "ff02::1",
    ],
)
def test_metadata_services_are_refused_even_if_private_is_allowed(
    address: str,
) -> None:
    with pytest.raises(ForbiddenAddress):
        check_address(address, PRIVATE)


@settings(deadline=None)
@given(inner=forbidden_v4)
def test_disguised_forbidden_addresses_are_refused(inner: IPv4Address) -> None:
    for address in (str(inner), *address_disguises(inner).values()):
        assert is_refused(check_address, address), address
    for host in disguised_hosts(inner).values():
        assert is_refused(parse_target, f"http://{host}/"), host


@settings(deadline=None)
@given(address=st.ip_addresses(v=4))
def test_allowed_ipv4_addresses_are_global_unicast(address: IPv4Address) -> None:
    try:
        check_address(address, STRICT)
    except ForbiddenAddress:
        return
    assert address.is_global
    assert not address.is_multicast
    assert not address.is_reserved


@settings(deadline=None)
@given(address=st.ip_addresses(v=6))
def test_allowed_ipv6_addresses_are_or_embed_global_unicast(address: IPv6Address) -> None:
    try:
        check_address(address, STRICT)
    except ForbiddenAddress:
        return
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None,))[-1]
    assert (inner or address).is_global
    assert not address.is_multicast


@pytest.mark.parametrize("seed", [0, 1])
def test_thousand_disguised_urls_are_refused(seed: int) -> None:
    urls = disguised_urls(1_000, seed=seed)
    assert len(set(urls)) == 1_000
    assert urls == disguised_urls(1_000, seed=seed)
    assert [url for url in urls if not is_refused(parse_target, url)] == []


async def test_ip_address_needs_no_lookup() -> None:
    assert await resolve(PUBLIC_V4, 80, STRICT, lookup=never_asked) == (PUBLIC_V4,)
    with pytest.raises(ForbiddenAddress):
        await resolve("127.0.0.1", 80, STRICT, lookup=never_asked)


async def test_resolver_order_is_kept() -> None:
    found = await resolve("example.org", 443, STRICT, lookup=answers(PUBLIC_V6, PUBLIC_V4))
    assert found == (PUBLIC_V6, PUBLIC_V4)


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("10.0.0.1",),
        (PUBLIC_V4, "127.0.0.1"),
        ("192.168.0.1", PUBLIC_V4),
        (PUBLIC_V4, "::ffff:169.254.169.254"),
        (PUBLIC_V4, PUBLIC_V6, "fe80::1%2"),
        (PUBLIC_V4, "not an address"),
    ],
)
async def test_one_forbidden_address_refuses_the_host(addresses: tuple[str, ...]) -> None:
    with pytest.raises(ForbiddenAddress) as caught:
        await resolve("example.org", 80, STRICT, lookup=answers(*addresses))
    assert not any(address in caught.value.detail for address in addresses)


async def test_host_without_addresses_is_unknown() -> None:
    with pytest.raises(OSError, match="no address"):
        await resolve("example.org", 80, STRICT, lookup=answers())


async def test_localhost_is_resolved_if_private_is_allowed() -> None:
    found = await resolve("localhost", 80, PRIVATE, lookup=answers("127.0.0.1"))
    assert found == ("127.0.0.1",)


async def test_system_resolver_lists_each_address_once_with_zone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def getaddrinfo(host: str, port: int, **options: object) -> list[object]:
        assert (host, port, options) == ("example.org", 80, {"type": socket.SOCK_STREAM})
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC_V4, 80)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC_V4, 80)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (PUBLIC_V6, 80, 0, 0)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 80, 0, 2)),
            (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", "/run/socket"),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert await system_lookup("example.org", 80) == [PUBLIC_V4, PUBLIC_V6, "fe80::1%2"]


async def test_listed_host_still_needs_a_public_address() -> None:
    rules = AddressRules(allowed_hosts=("intranet.example", "127.0.0.1", "localhost"))
    for host in rules.allowed_hosts:
        with pytest.raises(ForbiddenAddress, match="not public"):
            await resolve(host, 80, rules, lookup=answers("10.0.0.1"))
    private = AddressRules(allow_private=True, allowed_hosts=rules.allowed_hosts)
    found = await resolve("intranet.example", 80, private, lookup=answers("10.0.0.1"))
    assert found == ("10.0.0.1",)


async def test_hanging_lookups_do_not_block_other_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = threading.Event()

    def getaddrinfo(*_: object, **__: object) -> list[object]:
        answered.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    waiting = [asyncio.create_task(system_lookup("slow.example", 80)) for _ in range(40)]
    try:
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            assert await asyncio.to_thread(lambda: "free") == "free"
    finally:
        answered.set()
        await asyncio.gather(*waiting)
