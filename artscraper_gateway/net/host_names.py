"""Normalise hosts: a lower-case ASCII name or a standard IP address.

Parsers disagree about unusual spellings, and an attacker needs just one that our check and the
resolver read differently. So whatever has no plain reading is refused, not interpreted.
"""

from __future__ import annotations

import re

import httpx

from artscraper_gateway.errors import ForbiddenAddress
from artscraper_gateway.net.address_ranges import parse_address

MAX_NAME_CHARS = 253  # RFC 1035 2.3.4, without the root's dot
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def plain_host(host: str) -> str:
    """Return `host` as an ASCII name in lower case, or as an IP address without brackets.

    One trailing dot is dropped and international names are written in their ASCII form (IDNA
    2008). A name whose last label is a number is an IPv4 shorthand for some resolvers (2130706433,
    0x7f.1, 0177.0.0.1, 127.1) and is refused.

    Raises:
        ForbiddenAddress: not a host name and not an IP address; has a zone id, a percent sign, a
            character that only looks like a digit, an empty or overlong label.
    """
    bare = _to_ascii(_without_brackets(host)).lower()
    address = parse_address(bare)
    if address is not None:
        if "%" in bare:
            raise _not_a_host()
        return str(address)
    name = bare.removesuffix(".")
    labels = name.split(".")
    if len(name) > MAX_NAME_CHARS or not all(_LABEL.fullmatch(label) for label in labels):
        raise _not_a_host()
    if not _NUMBER.fullmatch(labels[-1]):
        return name
    if parse_address(name) is None:
        raise _not_a_host()
    return name


def _without_brackets(host: str) -> str:
    if not host.startswith("["):
        return host
    if not host.endswith("]") or ":" not in host:
        raise _not_a_host()
    return host[1:-1]


def _to_ascii(host: str) -> str:
    if host.isascii():
        return host
    try:
        return httpx.URL(scheme="http", host=host).raw_host.decode("ascii")
    except (httpx.InvalidURL, ValueError) as exc:
        raise _not_a_host() from exc


def _not_a_host() -> ForbiddenAddress:
    return ForbiddenAddress(
        "The URL's host is neither a host name nor an IP address in its standard form: write "
        "it like example.org, 192.0.2.1 or [2001:db8::1]."
    )
