"""A PostgreSQL server and an S3 server of the test session's own, on free loopback ports."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from artscraper_gateway.tests.gateway_process import until

UNPRIVILEGED = "postgres"  # PostgreSQL refuses to run as root


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def postgresql_binaries() -> Path | None:
    """Return the newest that apt installed, or those on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@dataclass
class PostgresServer:
    """One cluster in a temporary folder; without durability, which kills of clients do not need."""

    binaries: Path
    port: int = field(default_factory=free_port)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="fleet-postgres-")))
    _process: subprocess.Popen[bytes] | None = None
    _databases: int = 0

    def __post_init__(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self.folder, UNPRIVILEGED)
        self._run("initdb", "--auth=trust", "--username=fleet", "--no-sync", "--encoding=UTF8")

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        options = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.folder), "-F"]
        command = [str(self.binaries / "postgres"), "-D", str(self.folder / "data"), *options]
        self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._as_user())
        log.close()
        until(
            self._is_ready, what=lambda: f"PostgreSQL answers: {(self.folder / 'log').read_text()}"
        )

    def stop(self) -> None:
        """Stop as an administrator would in a hurry: connections are cut."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(timeout=30)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def new_database(self) -> str:
        """Make an empty database and returns its URL."""
        self._databases += 1
        name = f"fleet_{self._databases}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "fleet", name)
        return f"postgresql://fleet:swordfish@127.0.0.1:{self.port}/{name}"

    def _is_ready(self) -> bool:
        command = [str(self.binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        environment = {**os.environ, "PGDATA": str(self.folder / "data")}
        command = [str(self.binaries / program), *arguments]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, **self._as_user()
        )
        assert done.returncode == 0, done.stderr

    def _as_user(self) -> dict[str, str]:
        root = os.geteuid() == 0
        return {"user": UNPRIVILEGED, "cwd": "/"} if root else {"cwd": "/"}


@dataclass
class S3Server:
    """moto's server, which keeps everything in memory."""

    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1"]
        self._process = subprocess.Popen(
            [*command, "-p", str(self.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(lambda: answers(self.port), what="moto's server answers")

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=30)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make clients use this server."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
