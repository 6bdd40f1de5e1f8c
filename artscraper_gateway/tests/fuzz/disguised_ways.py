"""Ways to an address that is not public: spelt, redirected to, mixed into DNS answers, rebound."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

import httpx

from artscraper_gateway.tests.intake.disguises import (
    FORBIDDEN_V4,
    address_disguises,
    disguised_urls,
)

PUBLIC_V4 = "93.184.215.14"
ATTACKER = "attacker.example"
FORBIDDEN_V6 = ("::", "::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "100::1")
_LOCAL_NAMES = (
    "localhost",
    "LOCALHOST.",
    "a.b.localhost",
    "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",  # full width
    "loc\u00adalhost",
    "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",  # circled
)


@dataclass
class Way:
    """A URL and the world around it.

    `answers` are the resolver's answers in order; the last one is repeated.
    The server at the public address redirects to `redirects_to`, if anywhere.
    """

    kind: str
    url: str
    answers: tuple[tuple[str, ...], ...] = ((PUBLIC_V4,),)
    redirects_to: str | None = None
    reached: list[str] = field(default_factory=list)
    questions: int = 0

    async def lookup(self, _host: str, _port: int) -> Sequence[str]:
        answer = self.answers[min(self.questions, len(self.answers) - 1)]
        self.questions += 1
        return answer


class Internet(httpx.AsyncBaseTransport):
    """A transport that answers at every address and records the connections."""

    def __init__(self, way: Way) -> None:
        self._way = way

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._way.reached.append(request.url.host)
        if self._way.redirects_to is not None and len(self._way.reached) == 1:
            location = self._way.redirects_to.encode()  # as some servers send what is not ASCII
            return httpx.Response(302, headers=[(b"Location", location)])
        return httpx.Response(200, stream=httpx.ByteStream(b"picture"))


def disguised_ways(*, seed: int) -> list[Way]:
    """Return 1,000 ways, none of which may be taken to its end; the same seed, the same ways."""
    draw = random.Random(seed)
    names = [f"http://{name}/picture.png" for name in _LOCAL_NAMES]
    spelt = [*names, *(f"http://[{text}]/" for text in FORBIDDEN_V6)]
    spelt += disguised_urls(500 - len(spelt), seed=seed)
    redirected = disguised_urls(250, seed=seed + 1)
    return [
        *(Way("spelt", url) for url in spelt),
        *(
            Way("redirected", f"http://{ATTACKER}/", redirects_to=_location(url, draw))
            for url in redirected
        ),
        *(Way("mixed", f"http://{ATTACKER}/", (_mixed(draw),)) for _ in range(150)),
        *(
            Way("rebound", f"http://{ATTACKER}/", ((PUBLIC_V4,), _mixed(draw)), "/again")
            for _ in range(100)
        ),
    ]


def public_ways(*, seed: int) -> list[Way]:
    """Return 300 ways that lead to public addresses, spelt plainly, by name or by redirect."""
    draw = random.Random(seed)
    ways = []
    for number in range(300):
        address = str(_public(draw))
        shown = f"[{address}]" if ":" in address else address
        other = f"http://{shown}:{draw.choice([80, 8080, 443])}/picture.png"
        ways.append(
            (
                Way("spelt", other),
                Way("named", f"https://\u00e4pfel-{number}.example./", ((address, PUBLIC_V4),)),
                Way("redirected", f"http://{ATTACKER}/", redirects_to=other),
            )[number % 3]
        )
    return ways


def _location(url: str, draw: random.Random) -> str:
    return url.removeprefix("http:") if draw.random() < 0.3 else url


def _mixed(draw: random.Random) -> tuple[str, ...]:
    """Up to three public addresses, and a forbidden one anywhere among them."""
    inner = IPv4Address(draw.choice(FORBIDDEN_V4))
    forbidden = [str(inner), *address_disguises(inner).values(), *FORBIDDEN_V6, "fe80::1%2"]
    answers = [str(_public(draw)) for _ in range(draw.randrange(4))]
    answers.insert(draw.randrange(len(answers) + 1), draw.choice(forbidden))
    return tuple(answers)


def _public(draw: random.Random) -> IPv4Address | IPv6Address:
    networks = ("1.1.1.0/24", "8.8.0.0/16", "93.184.0.0/16", "151.101.0.0/16", "185.199.108.0/22")
    if draw.random() < 0.3:
        return IPv6Address(0x2A00_1450_4001 << 80 | draw.getrandbits(60))
    network, _, prefix = draw.choice(networks).partition("/")
    return ip_address(int(ip_address(network)) | draw.getrandbits(32 - int(prefix)))
