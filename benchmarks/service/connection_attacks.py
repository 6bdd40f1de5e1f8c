"""The cost that one client without an API key can cause: memory, and waiting of others.

    python benchmarks/service/connection_attacks.py --seconds 30

Starts a gateway of its own with 1,024 file descriptors. Each attack runs in a process of its own
against a new web process, which another client requests `/livez` from meanwhile. Prints a table;
ends with 1 when the process grew by 50 MB or more, or when an answer took 0.5 s or more.
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from artscraper_gateway.tests.gateway_process import GatewayProcess  # noqa: E402

MAX_GROWTH_MB, MAX_LIVEZ_S = 50.0, 0.5
_DESCRIPTORS = 1024
_CONNECTIONS = 1100
_STOP_AT_MB = 2000.0  # the machine stays usable
_PROBE_EVERY_S = 0.1
_PROBE_TIMEOUT_S = 10.0
_OTHER_CLIENT = ("127.0.0.2", 0)  # places are counted by address
_LINE = b"GET /livez HTTP/1.1\r\n"
_UPLOAD = (
    b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1000\r\n\r\n{"
)


def _flood(address: tuple[str, int], head: bytes, more: bytes) -> None:
    """Send `head`, then `more` without end, and connect again when the server closes."""
    while True:
        with suppress(OSError), socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(address)
            connection.sendall(head)
            while True:
                connection.sendall(more)
        time.sleep(0.001)


def _hold(address: tuple[str, int], part: bytes) -> None:
    """Keep more connections open than the server has descriptors, each with part of a request.

    100 a second are opened anew: more would be a flood of requests, which no bound of a
    connection's cost is about.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held: list[socket.socket] = []
    while True:
        with suppress(OSError):
            held.append(socket.create_connection(address, timeout=1))
            held[-1].sendall(part)
        if len(held) > _CONNECTIONS:
            held.pop(0).close()
            time.sleep(0.01)


def _wait(_address: tuple[str, int]) -> None:
    """Do nothing: what the machine itself adds to the times."""
    time.sleep(3600)


ATTACKS: dict[str, tuple[Callable[..., None], tuple[bytes, ...]]] = {
    "none": (_wait, ()),
    "pipelined requests, answers never read": (
        _flood,
        (b"", (_LINE + b"Host: localhost\r\n\r\n") * 1000),
    ),
    "a header value without end": (_flood, (_LINE + b"X: ", b"a" * 65_536)),
    "headers without end": (_flood, (_LINE, b"X-Many: a\r\n" * 5000)),
    "a path without end": (_flood, (b"GET /", b"a" * 65_536)),
    "1,100 half-sent heads, 100 new ones a second": (_hold, (_LINE + b"Host: ",)),
    "1,100 half-sent bodies, 100 new ones a second": (_hold, (_UPLOAD,)),
}


@dataclass(frozen=True)
class Cost:
    """The cost of an attack: growth of memory during and after it, and latencies of /livez."""

    grown_mb: float
    kept_mb: float
    slowest_s: float
    unanswered: int
    probes: int

    @property
    def is_bounded(self) -> bool:
        """Return whether memory stayed within its limit and every probe was answered."""
        return max(self.grown_mb, self.kept_mb) < MAX_GROWTH_MB and not self.unanswered


def measure(name: str, seconds: float) -> Cost:
    """Run one attack against a new gateway for so long and probe /livez meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    options = {"worker_concurrency": 0, "log_level": "error"}
    with tempfile.TemporaryDirectory() as folder:
        gateway = GatewayProcess(Path(folder), options)
        resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, hard))
        try:
            gateway.start()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        try:
            return _attack(gateway, name, seconds)
        finally:
            gateway.kill()


def _attack(gateway: GatewayProcess, name: str, seconds: float) -> Cost:
    host, port = gateway.base_url.removeprefix("http://").split(":")
    address = (host, int(port))
    for _ in range(20):  # what the first requests allocate is no growth
        _probe(address)
    before = _resident_mb(gateway)
    run, arguments = ATTACKS[name]
    attack = multiprocessing.Process(target=run, args=(address, *arguments), daemon=True)
    attack.start()
    most, slowest, unanswered, probes = before, 0.0, 0, 0
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline and most - before < _STOP_AT_MB:
            taken = _probe(address)
            probes += 1
            unanswered += taken is None
            slowest = max(slowest, taken or 0.0)
            most = max(most, _resident_mb(gateway))
            time.sleep(_PROBE_EVERY_S)
    finally:
        attack.kill()
        attack.join()
    time.sleep(2)
    return Cost(most - before, _resident_mb(gateway) - before, slowest, unanswered, probes)


def _probe(address: tuple[str, int]) -> float | None:
    """Return the seconds that /livez took on a new connection; None without a 200."""
    begun = time.monotonic()
    connection = http.client.HTTPConnection(
        *address, timeout=_PROBE_TIMEOUT_S, source_address=_OTHER_CLIENT
    )
    try:
        connection.request("GET", "/livez")
        is_alive = connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        is_alive = False
    finally:
        connection.close()
    return time.monotonic() - begun if is_alive else None


def _resident_mb(gateway: GatewayProcess) -> float:
    return psutil.Process(gateway.pid).memory_info().rss / 1e6


def main() -> int:
    """Print the table; return 0 when every attack stayed within the limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--only", help="name of one attack, or part of it", default="")
    arguments = parser.parse_args()
    print("| attack | grown | still after it | slowest /livez | unanswered | |")
    print("|---|---|---|---|---|---|")
    are_bounded = True
    for name in (each for each in ATTACKS if arguments.only in each):
        cost = measure(name, arguments.seconds)
        is_bounded = cost.is_bounded and cost.slowest_s < MAX_LIVEZ_S
        are_bounded &= is_bounded
        print(
            f"| {name} | {cost.grown_mb:.1f} MB | {cost.kept_mb:.1f} MB | {cost.slowest_s:.2f} s"
            f" | {cost.unanswered} of {cost.probes} | {'' if is_bounded else 'MISSED'} |",
            flush=True,
        )
    return 0 if are_bounded else 1


if __name__ == "__main__":
    sys.exit(main())
