"""nginx and Caddy before a real gateway: pictures in, events as they come, too much refused."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from select import select
from urllib.parse import urlsplit

import httpx
import pytest

from artscraper_gateway.tests.gateway_process import NO_TLS, GatewayProcess, until
from artscraper_gateway.tests.stages_for_tests.stages_that_misbehave import GATE_WIDTH
from tests.deploy.proxies import GATEWAY_OPTIONS, HOST, PROXIES, Proxy

pytestmark = pytest.mark.system

MEBIBYTE = 1024**2


@dataclass(frozen=True)
class Front:
    """A proxy and the gateway behind it."""

    proxy: Proxy
    gateway: GatewayProcess

    def client(self) -> httpx.Client:
        trust = self.proxy.authority
        verify = ssl.create_default_context(cafile=str(trust)) if trust else NO_TLS
        host = {} if trust is None else {"Host": HOST}
        return httpx.Client(
            base_url=self.proxy.url, verify=verify, headers=host, timeout=60, trust_env=False
        )

    def send_zeros(self, path: str, size: int) -> bytes:
        """Post a file of `size` bytes, for as long as there is no answer; returns its beginning.

        httpx would send all of it first, and an answer that comes before that was lost.
        """
        with closing(self._connected()) as connection:
            connection.sendall(
                f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {size}\r\n"
                "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
                "--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n".encode()
            )
            for _ in range(size // MEBIBYTE):
                if select([connection], [], [], 0)[0]:
                    break
                try:
                    connection.sendall(bytes(MEBIBYTE))
                except OSError:  # it has answered and listens no more
                    break
            return connection.recv(4096)

    @property
    def _host(self) -> str:
        return HOST if self.proxy.authority else urlsplit(self.proxy.url).netloc

    def _connected(self) -> socket.socket:
        address = urlsplit(self.proxy.url)
        plain = socket.create_connection((address.hostname, address.port), timeout=60)
        if self.proxy.authority is None:
            return plain
        context = ssl.create_default_context(cafile=str(self.proxy.authority))
        return context.wrap_socket(plain, server_hostname=HOST)


@pytest.fixture(params=sorted(PROXIES))
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    home = tmp_path / "proxy"
    home.mkdir()
    options = {"max_wait": 120, **GATEWAY_OPTIONS[request.param]}
    gateway = GatewayProcess(tmp_path, options, with_stages_for_tests=True)
    gateway.start()
    run: Callable[..., AbstractContextManager[Proxy]] = PROXIES[request.param]
    try:
        with run(home, urlsplit(gateway.base_url).netloc) as proxy:
            yield Front(proxy, gateway)
    finally:
        gateway.stop()


def test_proxy_samples_serve_events_and_limits(front: Front, picture: Callable[..., bytes]) -> None:
    with front.client() as client:
        until(lambda: client.get("/livez").status_code == 200, what="the proxy finds the gateway")
        _events_come_while_the_job_runs(front, client, picture(GATE_WIDTH, 64))
        for path in ("/metrics", "/readyz"):
            assert client.get(path).status_code == 404
            assert client.get(f"{front.gateway.base_url}{path}").status_code == 200
        assert "max-age" in client.get("/livez").headers["strict-transport-security"]
        large = b"no picture" + b"\0" * (2 * MEBIBYTE)  # more than proxies take by themselves
        answer = client.post("/v1/jobs", files={"file": large})
        assert answer.status_code == 415 and answer.json()["code"] == "unsupported-picture"
    assert b" 413 " in front.send_zeros("/v1/jobs", 170 * MEBIBYTE)
    with front.client() as client:
        assert client.get("/livez").status_code == 200


def _events_come_while_the_job_runs(front: Front, client: httpx.Client, content: bytes) -> None:
    home = front.gateway.home
    answer = client.post("/v1/jobs", files={"file": content}, data={"stages": "gate"})
    assert answer.status_code == 200, answer.text
    job = answer.json()
    until((home / "gate-entered").exists, what="the stage waits")
    url = f"/v1/jobs/{job['job_id']}"
    with client.stream("GET", f"{url}/events") as events:
        lines = events.iter_lines()
        # It could not be read here if anything held it back until there is more.
        assert any('"gate"' in line for line in lines)
        assert client.get(url).json()["status"] == "running"
        (home / "gate-open").touch()
        assert any(line == "event: done" for line in lines)
