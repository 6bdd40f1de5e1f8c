"""Signals and service managers: process 1 of a container, SIGHUP, and what systemd is sent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from artscraper_gateway.tests.gateway_process import REPOSITORY, until

pytestmark = pytest.mark.system
SCRIPT = "from artscraper_gateway.cli.console import main; raise SystemExit(main())"
COMMANDS = {
    "module": ["-m", "artscraper_gateway", "serve"],
    "worker": ["-m", "artscraper_gateway", "worker"],
    "script": ["-c", SCRIPT, "serve"],
}
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY), "ARTSCRAPER_GATEWAY_PORT": "0"}


def start(folder: Path, *command: str, **variables: str) -> subprocess.Popen[bytes]:
    environment = {**_ENVIRONMENT, **variables}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def catches(process: psutil.Process, number: signal.Signals) -> bool:
    """Return whether the process has a handler for the signal."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(int(caught, 16) & 1 << number - 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root makes a process 1")
@pytest.mark.parametrize("name", COMMANDS)
def test_sigterm_ends_process_1_while_it_starts(tmp_path: Path, name: str) -> None:
    isolated = ("unshare", "--pid", "--fork", "--kill-child", sys.executable)
    process = start(tmp_path, *isolated, *COMMANDS[name])
    try:
        (first,) = until(psutil.Process(process.pid).children, what="process 1 starts")
        until(lambda: catches(first, signal.SIGTERM), what="it has a handler")
        assert not list(tmp_path.glob("gateway_jobs")), "it has one before it does anything"
        first.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) in (-signal.SIGTERM, 128 + signal.SIGTERM)
        assert not list(tmp_path.glob("gateway_jobs"))
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", ["module", "worker"])
def test_sighup_is_logged_and_ends_nothing(tmp_path: Path, name: str) -> None:
    process = start(tmp_path, sys.executable, *COMMANDS[name])

    def has_logged(text: str) -> bool:
        assert process.poll() is None, (tmp_path / "log").read_text()
        return text in (tmp_path / "log").read_text()

    try:
        until(lambda: has_logged("is ready"), what="its worker is ready")
        process.send_signal(signal.SIGHUP)
        until(lambda: has_logged("SIGHUP is ignored"), what="it is logged")
        process.terminate()
        assert process.wait(timeout=60) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", ["module", "worker"])
def test_systemd_is_notified_of_start_life_and_end(tmp_path: Path, name: str) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(60)
        process = start(tmp_path, sys.executable, *COMMANDS[name], NOTIFY_SOCKET=address)
        try:
            states = {manager.recv(100) for _ in range(3)}
            assert states == {b"READY=1", b"WATCHDOG=1"}, (tmp_path / "log").read_text()
            process.terminate()
            until(lambda: manager.recv(100) == b"STOPPING=1", what="its end is notified")
        finally:
            process.terminate()
            process.wait(timeout=60)
