"""The samples for nginx and Caddy, run as they are but for names, ports and certificates."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from artscraper_gateway.tests.gateway_process import until
from tests.deploy.conftest import DEPLOY, tool
from tests.fleet.servers import answers, free_port

HOST = "art.example.org"
# What each sample says that the gateway behind it needs, if it has no API keys.
GATEWAY_OPTIONS: dict[str, dict[str, str]] = {"nginx": {"trusted_hosts": HOST}, "caddy": {}}


@dataclass(frozen=True)
class Proxy:
    """A proxy that listens on `port`; `authority` signed its certificate."""

    url: str
    authority: Path | None


def _replaced(text: str, *pairs: tuple[str, str]) -> str:
    for before, after in pairs:
        assert before in text, f"the sample does not say {before!r}"
        text = text.replace(before, after)
    return text


@contextmanager
def _running(command: list[str], port: int, home: Path, **environment: str) -> Iterator[None]:
    with (home / "proxy.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=home, stdout=log, stderr=log, env={**os.environ, **environment}
        )
    try:
        until(
            lambda: answers(port) or process.poll() is not None,
            what=lambda: f"the proxy listens: {(home / 'proxy.log').read_text()}",
        )
        assert process.poll() is None, (home / "proxy.log").read_text()
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def nginx(home: Path, gateway: str) -> Iterator[Proxy]:
    """Run nginx with deploy/nginx/artscraper.conf; check it with `nginx -t` first."""
    program = tool("nginx", install="apt-get install nginx-light")
    port, authority = free_port(), trustme.CA()
    certificate = authority.issue_cert(HOST, "127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(home / "cert.pem")
    certificate.private_key_pem.write_to_path(home / "key.pem")
    authority.cert_pem.write_to_path(home / "ca.pem")
    sample = _replaced(
        (DEPLOY / "nginx/artscraper.conf").read_text(),
        ("127.0.0.1:8765", gateway),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("listen 80;", f"listen 127.0.0.1:{free_port()};"),
        ("/etc/ssl/art.example.org.pem", str(home / "cert.pem")),
        ("/etc/ssl/art.example.org.key", str(home / "key.pem")),
    )
    with _running(_checked_nginx(program, home, sample), port, home):
        yield Proxy(f"https://127.0.0.1:{port}", home / "ca.pem")


@contextmanager
def protecting_nginx(home: Path, gateway: str, uploads: Path) -> Iterator[Proxy]:
    """Run nginx with deploy/nginx/protect-uploads.conf, checked with `nginx -t` first."""
    program = tool("nginx", install="apt-get install nginx-light")
    port = free_port()
    sample = _replaced(
        (DEPLOY / "nginx/protect-uploads.conf").read_text(),
        ("127.0.0.1:8765;", f"{gateway};"),
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("/srv/uploads/$upload", f"{uploads}/$upload"),
        ("/var/cache/nginx/protected", str(home / "cache")),
    )
    with _running(_checked_nginx(program, home, sample), port, home):
        yield Proxy(f"http://127.0.0.1:{port}", None)


def _checked_nginx(program: str, home: Path, sample: str) -> list[str]:
    """Return the command that runs nginx with the sample, after `nginx -t`."""
    places = "\n".join(
        f"{name}_temp_path {home}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"daemon off;\nuser {_user()};\npid {home}/pid;\nerror_log {home}/error.log;\n"
    (home / "nginx.conf").write_text(
        f"{main}events {{}}\nhttp {{\naccess_log off;\n{places}\n{sample}\n}}\n"
    )
    command = [program, "-c", str(home / "nginx.conf"), "-e", str(home / "error.log")]
    done = subprocess.run([*command, "-t"], check=False, capture_output=True, text=True)
    assert done.returncode == 0 and "warn" not in done.stderr, done.stderr
    return command


@contextmanager
def caddy(home: Path, gateway: str) -> Iterator[Proxy]:
    """Run Caddy with deploy/caddy/Caddyfile, without HTTPS; check it with `caddy validate`."""
    program = tool("caddy", install="apt-get install caddy")
    port = free_port()
    options = ["--config", str(DEPLOY / "caddy/Caddyfile"), "--adapter", "caddyfile"]
    environment = {
        "ARTSCRAPER_HOST": f"http://127.0.0.1:{port}",
        "ARTSCRAPER_GATEWAY": gateway,
        "HOME": str(home),
        "XDG_DATA_HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "CADDY_ADMIN": f"127.0.0.1:{free_port()}",
    }
    done = subprocess.run(
        [program, "validate", *options],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    with _running([program, "run", *options], port, home, **environment):
        yield Proxy(f"http://127.0.0.1:{port}", None)


PROXIES: dict[str, Callable[..., object]] = {"nginx": nginx, "caddy": caddy}


def _user() -> str:
    import getpass

    return getpass.getuser()
