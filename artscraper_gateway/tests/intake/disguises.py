"""Other spellings of an IPv4 address, as an attacker would try them.

`address_disguises` are valid IP addresses that lead to the IPv4 address; `host_disguises` are what
some resolver or browser reads as it. `disguised_urls` draws a corpus of any size from both.
"""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address

PUBLIC = IPv4Address("8.8.8.8")
FORBIDDEN_V4 = (
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.254",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.1.2.3",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.7",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.51.100.4",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
)


def address_disguises(inner: IPv4Address, *, prefix: int = 0x2A00_1450_4001_0001) -> dict[str, str]:
    """Return IPv6 addresses that end up at `inner`, by the name of the form.

    Args:
        inner: the IPv4 address inside.
        prefix: the upper 64 bits of the ISATAP forms.
    """
    low, public = int(inner), int(PUBLIC)
    teredo = 0x2001_0000 << 96
    forms = {
        "mapped": 0xFFFF << 32 | low,
        "compatible": low,
        "translated": 0xFFFF << 48 | low,
        "nat64": 0x64_FF9B << 96 | low,
        "nat64-local": 0x64_FF9B_0001 << 80 | low,
        "6to4": 0x2002 << 112 | low << 80,
        "6to4-host": 0x2002 << 112 | low << 80 | 0x1234,
        "teredo-server": teredo | low << 64 | (~public & 0xFFFF_FFFF),
        "teredo-client": teredo | public << 64 | (~low & 0xFFFF_FFFF),
        "isatap": prefix << 64 | 0x0000_5EFE << 32 | low,
        "isatap-universal": prefix << 64 | 0x0200_5EFE << 32 | low,
        "isatap-6to4": 0x2002 << 112 | public << 80 | 0x0000_5EFE << 32 | low,
    }
    return {name: str(IPv6Address(value)) for name, value in forms.items()}


def host_disguises(inner: IPv4Address) -> dict[str, str]:
    """Return host spellings that some parsers read as `inner`, by the name of the trick."""
    value, parts = int(inner), inner.packed
    dotted = str(inner)
    return {
        "plain": dotted,
        "trailing-dot": f"{dotted}.",
        "decimal": str(value),
        "hex": hex(value),
        "hex-upper": f"0X{value:08X}",
        "octal": f"0{value:o}",
        "dotted-hex": ".".join(hex(part) for part in parts),
        "dotted-octal": ".".join(f"0{part:o}" for part in parts),
        "padded-octal": ".".join(f"{part:08o}" for part in parts),
        "mixed": f"{parts[0]:#x}.{parts[1]}.0{parts[2]:o}.{parts[3]}",
        "two-parts": f"{parts[0]}.{value & 0xFF_FFFF}",
        "three-parts": f"{parts[0]}.{parts[1]}.{value & 0xFFFF}",
        "hex-two-parts": f"{parts[0]:#x}.{value & 0xFF_FFFF:#x}",
        "padded": ".".join(f"{part:03d}" for part in parts),
        "overflow": str(value + 2**32),
        "percent-dots": dotted.replace(".", "%2e"),
        "percent-digits": "".join(f"%{ord(char):02x}" for char in dotted),
        "wide-digits": "".join(
            chr(0xFF10 + int(char)) if char.isdigit() else char for char in dotted
        ),
        "wide-dots": dotted.replace(".", "\uff0e"),
        "ideographic-dots": dotted.replace(".", "\u3002"),
        "half-dots": dotted.replace(".", "\uff61"),
        "circled-digits": "".join(
            chr(0x245F + int(char)) if char in "123456789" else char for char in dotted
        ),
        "arabic-digits": "".join(
            chr(0x0660 + int(char)) if char.isdigit() else char for char in dotted
        ),
        "soft-hyphen": f"{dotted[0]}\u00ad{dotted[1:]}",
        "zero-width": f"{dotted}\u200b",
        "dotted-tail": f"[::ffff:{dotted}]",
        "zone": f"[::ffff:{dotted}%25eth0]",
        "userinfo": f"example.org@{dotted}",
        "backslash": f"example.org\\@{dotted}",
    }


def disguised_hosts(inner: IPv4Address) -> dict[str, str]:
    """Return all of the above as they stand in a URL: IPv6 addresses in brackets."""
    bracketed = {name: f"[{text}]" for name, text in address_disguises(inner).items()}
    return {**host_disguises(inner), **bracketed}


def disguised_urls(count: int, *, seed: int) -> list[str]:
    """Return `count` different URLs, at least 1, that all lead to forbidden IPv4 addresses.

    The same `seed` gives the same URLs.
    """
    draw = random.Random(seed)
    urls: dict[str, None] = {}
    while len(urls) < count:
        inner = IPv4Address(draw.choice(FORBIDDEN_V4))
        if draw.random() < 0.5:
            inner = IPv4Address(int(inner) & 0xFF00_0000 | draw.getrandbits(24))
        if str(inner).split(".")[0] not in {"0", "10", "127", "224", "239", "240"}:
            inner = IPv4Address(draw.choice(FORBIDDEN_V4))
        host = draw.choice(sorted(disguised_hosts(inner).values()))
        port = draw.choice(["", ":80", ":8080"])
        urls[f"{draw.choice(['http', 'https'])}://{host}{port}/picture.png"] = None
    return list(urls)
