"""A real gateway in processes of its own, which tests may kill."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
STAGES_FOR_TESTS = Path(__file__).parent / "stages_for_tests"
START_TIMEOUT_S = 60.0
# For clients of plain HTTP: loading the certificates that httpx trusts takes 20 ms each time.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass
class GatewayProcess:
    """A process of `python -m artscraper_gateway` on a free port, with its folders below `home`."""

    home: Path
    options: dict[str, Any] = field(default_factory=dict)
    with_stages_for_tests: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()  # a command that starts the command, such as `setpriv ...`
    _process: subprocess.Popen[str] | None = None
    base_url: str = ""

    def start(self) -> GatewayProcess:
        self.home.mkdir(parents=True, exist_ok=True)
        options = {
            "base_dir": "gateway_jobs",
            "output_parent": "outputs",
            "port": 0,
            "max_wait": 180,  # what waits for a whole job may do so on a busy machine too
        }
        search_path = [str(REPOSITORY)]
        if self.with_stages_for_tests:
            search_path.append(str(STAGES_FOR_TESTS))
        arguments = [f"--{name}={value}" for name, value in {**options, **self.options}.items()]
        with (self.home / "gateway.log").open("a") as log:
            self._process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "artscraper_gateway", *arguments],
                cwd=self.home,
                env={
                    **os.environ,
                    **self.environment,
                    "PYTHONPATH": os.pathsep.join(search_path),
                },
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if "listens on" not in line:
            self.stop()
            raise AssertionError(f"did not start: {line} {self.log()}")
        self.base_url = (json.loads(line)["message"] if line[0] == "{" else line).split()[-1]
        return self

    @property
    def base_dir(self) -> Path:
        return self.home / "gateway_jobs"

    @property
    def outputs(self) -> Path:
        return self.home / "outputs"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        return (self.home / "gateway.log").read_text()

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(
            base_url=self.base_url, timeout=180, trust_env=False, verify=NO_TLS, **options
        )

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children()

    def kill_worker(self) -> None:
        """kill -9 of every worker; the gateway starts them again."""
        for worker in self.workers():
            worker.send_signal(signal.SIGKILL)
            worker.wait(timeout=10)

    def kill(self, *, workers: bool = True) -> None:
        """kill -9 of the web process, and of its workers with `workers`."""
        assert self._process is not None
        found = self.workers()
        self._process.kill()
        self._process.wait()
        self._close()
        if workers:
            for worker in found:
                worker.kill()
        for worker in found:
            worker.wait(timeout=40)

    def stop(self) -> float:
        """SIGTERM; returns how many seconds the gateway took to end with all its workers.

        Nothing is left of it, also when it does not end: then this raises.
        """
        if self._process is None:
            return 0.0
        begun = time.monotonic()
        found = self.workers() if self._process.poll() is None else []
        try:
            self._process.terminate()
            self._process.wait(timeout=60)
            for worker in found:
                worker.wait(timeout=20)
        finally:
            for process in (self._process, *found):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.wait()
            self._close()
        return time.monotonic() - begun

    def _close(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()


def freeze(process: psutil.Process, database: Path | None = None) -> None:
    """SIGSTOP while the process does not hold the lock of the SQLite file, which would stop all.

    Without `database` the database is a server, which ends the lock itself.
    """
    while True:
        process.suspend()
        until(lambda: process.status() == psutil.STATUS_STOPPED, what="it stops")
        if database is None or _is_unlocked(database):
            return
        process.resume()


def _is_unlocked(database: Path) -> bool:
    with closing(sqlite3.connect(database, timeout=0.5, isolation_level=None)) as connection:
        try:
            connection.execute("begin immediate")
        except sqlite3.OperationalError:
            return False
        connection.execute("rollback")
        return True


def until(
    condition: Callable[[], Any], *, what: str | Callable[[], str], timeout_s: float = 180.0
) -> Any:
    """Return the first truthy answer of `condition`, which another process will make true.

    `what` says what is waited for; one that quotes logs is a function, called at the failure.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.03)
    waited_for = what if isinstance(what, str) else what()
    raise AssertionError(f"not within {timeout_s} s: {waited_for}")
