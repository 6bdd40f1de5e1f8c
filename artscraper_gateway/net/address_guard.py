"""The addresses that the gateway may connect to when a caller chooses the URL.

Pictures and webhook targets share these rules. A connection must go to an address that `resolve`
returned: a second lookup may return another address (DNS rebinding).
`pinned_transport` does so.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial

from artscraper_gateway.errors import ForbiddenAddress
from artscraper_gateway.net.address_ranges import IPAddress, Reach, parse_address, reach, unwrap
from artscraper_gateway.net.host_names import plain_host

_log = logging.getLogger(__name__)
MAX_LOOKUPS = 16
UNUSABLE_NAME = "The URL's host name is unknown, or leads to an address that is not public."
"""The same for both: a caller could otherwise list the names of a private network."""

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Resolves (host, port) to IP addresses as text; raises OSError when the name is not known."""


@dataclass(frozen=True)
class AddressRules:
    """Rules for connections. The defaults are safe: any public address, under any name.

    Attributes:
        allow_private: also this machine and its private networks (10/8, 100.64/10, 127/8,
            172.16/12, 192.168/16, ::1, fc00::/7, fec0::/10). For closed installations. Link-local
            addresses and the clouds' metadata services stay refused even then.
        allowed_hosts: when not empty, only these hosts. `example.org` means just itself,
            `.example.org` itself and all names below it. IP addresses are written in full. Hosts
            on the list still need an allowed address.

    Raises:
        ValueError: an entry of `allowed_hosts` is not a host.
    """

    allow_private: bool = False
    allowed_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.allowed_hosts, str):
            raise ValueError("allowed_hosts: expected a tuple of hosts, got one string")
        hosts = tuple(_plain_entry(entry) for entry in self.allowed_hosts)
        object.__setattr__(self, "allowed_hosts", hosts)


def check_address(address: str | IPAddress, rules: AddressRules) -> None:
    """Refuse `address` unless it is public, or private and `rules` allow that.

    IPv4 addresses inside IPv6 ones (mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP)
    are checked, too: each must be allowed.

    Raises:
        ForbiddenAddress: it is not allowed, has a zone id, or is not an IP address in its standard
            form. The detail does not repeat the address.
    """
    parsed = parse_address(address) if isinstance(address, str) else address
    if parsed is None or getattr(parsed, "scope_id", None) is not None:
        raise _forbidden()
    allowed = {Reach.PUBLIC, Reach.PRIVATE} if rules.allow_private else {Reach.PUBLIC}
    if not all(reach(part) in allowed for part in unwrap(parsed)):
        raise _forbidden()


def check_host(host: str, rules: AddressRules) -> str:
    """Return `host` in its plain spelling if `rules` allow it, without resolving it.

    Raises:
        ForbiddenAddress: not a host, not among `allowed_hosts`, an address that is not allowed, or
            `localhost` without `allow_private`.
    """
    name = plain_host(host)
    if rules.allowed_hosts and not any(_matches(name, entry) for entry in rules.allowed_hosts):
        raise ForbiddenAddress("The URL's host is not on the list of allowed hosts.")
    if parse_address(name) is not None:
        check_address(name, rules)
    elif (name == "localhost" or name.endswith(".localhost")) and not rules.allow_private:
        raise _forbidden()
    return name


async def system_lookup(host: str, port: int) -> list[str]:
    """Return the addresses that the system's resolver gives for `host`, each once, in its order.

    A caller that stops waiting does not stop the lookup; at most `MAX_LOOKUPS` run at a time.

    Raises:
        OSError: the name is unknown, or the resolver failed.
    """
    loop = asyncio.get_running_loop()
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    results = await loop.run_in_executor(_lookup_threads(), ask)
    addresses: list[str] = []
    for family, _, _, _, place in results:
        if family not in (socket.AF_INET, socket.AF_INET6):
            continue
        zone = place[3] if len(place) == 4 else 0
        addresses.append(f"{place[0]}%{zone}" if zone else str(place[0]))
    return list(dict.fromkeys(addresses))


async def resolve(
    host: str, port: int, rules: AddressRules, *, lookup: Lookup = system_lookup
) -> tuple[str, ...]:
    """Return the addresses of `host`, in the resolver's order, if every one of them is allowed.

    One forbidden address among them condemns the name: its owner chose it. An IP address is
    returned unchanged, without a lookup.

    Raises:
        ForbiddenAddress: see `check_host` and `check_address`.
        OSError: the name is unknown, or the resolver failed.
    """
    name = check_host(host, rules)
    if parse_address(name) is not None:
        return (name,)
    addresses = tuple(await lookup(name, port))
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
    try:
        for address in addresses:
            check_address(address, rules)
    except ForbiddenAddress:
        _log.info("refused a URL: its host name leads to an address that is not public")
        raise ForbiddenAddress(UNUSABLE_NAME) from None
    return addresses


@cache
def _lookup_threads() -> ThreadPoolExecutor:
    # Separate threads: a few names whose servers never answer would take all of the loop's, and
    # with them every file that is read or written.
    return ThreadPoolExecutor(MAX_LOOKUPS, thread_name_prefix="lookup")


def _plain_entry(entry: str) -> str:
    dot, bare = (".", entry[1:]) if entry.startswith(".") else ("", entry)
    try:
        return dot + plain_host(bare)
    except ForbiddenAddress as exc:
        raise ValueError(
            f"allowed_hosts: expected a host such as example.org, or .example.org with all names "
            f"below it, got {entry!r}"
        ) from exc


def _matches(name: str, entry: str) -> bool:
    return name == entry.removeprefix(".") or (entry.startswith(".") and name.endswith(entry))


def _forbidden() -> ForbiddenAddress:
    return ForbiddenAddress(
        "The URL leads to an address that is not public; name a server on the public internet."
    )
