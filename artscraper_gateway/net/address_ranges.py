"""Ranges of public IP addresses, and the IPv4 addresses embedded in IPv6 ones.

Written out here because `ipaddress.is_global` is not enough: Python 3.11 calls 2002:7f00:1::,
64:ff9b::7f00:1, ::7f00:1, fec0::1, 224.0.0.1 and 168.63.129.16 global. The ranges follow the IANA
special-purpose address registries (RFC 6890 and its updates); an address on neither list must
still be global for `ipaddress`, so that a newer Python can only make this stricter.
"""

from __future__ import annotations

import ipaddress
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPAddress = IPv4Address | IPv6Address


class Reach(Enum):
    """The reach of an address."""

    PUBLIC = "public"  # any host on the internet
    PRIVATE = "private"  # this machine, or the networks it is part of
    NEVER = "never"  # no server that a picture or a webhook could honestly live on


_NEVER_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # "this network"; Linux connects 0.0.0.0 to the machine itself
        "100.100.100.200/32",  # Alibaba Cloud metadata
        "168.63.129.16/32",  # Azure's host agent
        "169.254.0.0/16",  # link-local: the metadata service of most clouds
        "192.0.0.0/24",  # protocol assignments; Oracle Cloud metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relay anycast
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_PRIVATE_V4 = tuple(
    IPv4Network(text)
    for text in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
_NEVER_V6 = tuple(
    IPv6Network(text)
    for text in (
        "::/128",  # unspecified: the machine itself
        "2001::/23",  # protocol assignments (Teredo is unwrapped before)
        "2001:db8::/32",  # documentation
        "3ffe::/16",  # 6bone, returned
        "3fff::/20",  # documentation
        "64:ff9b:1::/48",  # local translators: where they put the IPv4 address is their own secret
        "fd00:ec2::254/128",  # Amazon metadata
        "fd20:ce::254/128",  # Google metadata
        "fe80::/10",  # link-local
        "ff00::/8",  # multicast
    )
)
_PRIVATE_V6 = tuple(IPv6Network(text) for text in ("::1/128", "fc00::/7", "fec0::/10"))
_UNICAST_V6 = IPv6Network("2000::/3")  # all that IANA has handed out

# Forms whose last 32 bits are the IPv4 address of the destination.
_TAIL_FORMS = tuple(
    IPv6Network(text)
    for text in (
        "::/96",  # IPv4-compatible (RFC 4291 2.5.5.1)
        "::ffff:0:0/96",  # IPv4-mapped (RFC 4291 2.5.5.2)
        "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765)
        "64:ff9b::/96",  # NAT64 (RFC 6052)
    )
)
_SIX_TO_FOUR = IPv6Network("2002::/16")  # RFC 3056
_TEREDO = IPv6Network("2001::/32")  # RFC 4380
_OWN_V6 = frozenset({IPv6Address("::"), IPv6Address("::1")})
_ISATAP = 0x0000_5EFE
_ISATAP_MASK = 0xFCFF_FFFF  # the universal and group bits may be set (RFC 5214 6.1)


def unwrap(address: IPAddress) -> tuple[IPAddress, ...]:
    """Return every address that a connection to `address` can end up at, at least one.

    IPv4-mapped, -compatible, -translated and NAT64 forms give their IPv4 address, 6to4 its
    router's, Teredo its server's and its client's. ISATAP gives itself and the IPv4 address. All
    others give themselves. A translator with a prefix of its own cannot be recognised.
    """
    if isinstance(address, IPv4Address) or address in _OWN_V6:
        return (address,)
    bits = int(address)
    tail = IPv4Address(bits & 0xFFFF_FFFF)
    if any(address in form for form in _TAIL_FORMS):
        return (tail,)
    if address in _TEREDO:
        return (IPv4Address(bits >> 64 & 0xFFFF_FFFF), IPv4Address(~bits & 0xFFFF_FFFF))
    outer = IPv4Address(bits >> 80 & 0xFFFF_FFFF) if address in _SIX_TO_FOUR else address
    is_isatap = bits >> 32 & _ISATAP_MASK == _ISATAP
    return (outer, tail) if is_isatap else (outer,)


def reach(address: IPAddress) -> Reach:
    """Return how far `address` reaches, without unwrapping it. A zone id makes it `NEVER`."""
    if isinstance(address, IPv4Address):
        return _reach_v4(address)
    if address.scope_id is not None or any(address in network for network in _NEVER_V6):
        return Reach.NEVER
    if any(address in network for network in _PRIVATE_V6):
        return Reach.PRIVATE
    return Reach.PUBLIC if address in _UNICAST_V6 and address.is_global else Reach.NEVER


def _reach_v4(address: IPv4Address) -> Reach:
    if any(address in network for network in _NEVER_V4):
        return Reach.NEVER
    if any(address in network for network in _PRIVATE_V4):
        return Reach.PRIVATE
    return Reach.PUBLIC if address.is_global else Reach.NEVER


def parse_address(text: str) -> IPAddress | None:
    """Return the address that `text` spells in its one standard form, or None.

    Shorthands that `inet_aton` takes (127.1, 0x7f.1, 2130706433, 0177.0.0.1) give None.
    """
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
