"""A worker that hangs or dies is replaced; one that lives is not."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import until
from artscraper_gateway.worker import supervisor
from artscraper_gateway.worker.supervisor import WorkerSupervisor, _Slot, show_life

pytestmark = pytest.mark.system
# Writes its process id, then shows life once and hangs: only in its first life.
HANGS_ONCE = """
import os, sys, time
with open("lives", "a") as lives:
    lives.write(f"{os.getpid()}\\n")
is_first = len(open("lives").readlines()) == 1
os.write(1, b".")
while is_first or os.write(1, b"."):
    time.sleep(0.05)
"""


@pytest.fixture
def slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Slot:
    monkeypatch.chdir(tmp_path)
    config = GatewayConfig(base_dir=tmp_path / "jobs", drain_timeout=0)
    slot = _Slot(config, 0, hangs_after_s=1.0)
    monkeypatch.setattr(slot, "_command", lambda: [sys.executable, "-c", HANGS_ONCE])
    monkeypatch.setattr(supervisor, "_POLL_S", 0.05)
    return slot


def lives(home: Path) -> list[str]:
    path = home / "lives"
    return path.read_text().split() if path.exists() else []


def test_supervisor_replaces_a_silent_worker(
    slot: _Slot, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slot.thread.start()
    until(lambda: len(lives(tmp_path)) == 1, what="it starts")
    until(lambda: len(lives(tmp_path)) == 2, what="it is replaced")
    until(lambda: slot.problem is None, what="the next one shows life")
    threading.Event().wait(1.5)  # longer than the limit: it lives
    assert len(lives(tmp_path)) == 2
    slot.stopping.set()
    slot.thread.join(timeout=30)
    assert not slot.thread.is_alive()
    assert "sent no heartbeat" in caplog.text


def test_log_has_how_a_worker_ended(slot: _Slot, caplog: pytest.LogCaptureFixture) -> None:
    ways = iter(["import os; os.kill(os.getpid(), 9)", "raise SystemExit(3)"])
    slot._command = lambda: [sys.executable, "-c", next(ways)]  # type: ignore[method-assign]
    for ending in ("was killed by SIGKILL, as the kernel does when memory", "ended with status 3"):
        slot._run_once()
        assert ending in caplog.text


def test_supervisor_updates_its_heartbeat_file(tmp_path: Path) -> None:
    config = GatewayConfig(base_dir=tmp_path / "gateway_jobs")
    show_life(config)
    (alive,) = (tmp_path / "gateway_jobs" / "workers").rglob("alive")
    os.utime(alive, (0, 0))
    show_life(config)
    assert alive.stat().st_mtime > 0
    (tmp_path / "gateway_jobs" / "workers").rename(tmp_path / "away")
    (tmp_path / "gateway_jobs" / "workers").write_text("no folder")
    show_life(config)  # no error: the workers go on


def test_second_signal_may_interrupt_the_first(tmp_path: Path) -> None:
    workers = WorkerSupervisor(GatewayConfig(base_dir=tmp_path))
    with ExitStack() as held:
        for slot in workers._slots:
            held.enter_context(slot.stopping._cond)  # as `request_stop` does in the first signal
        kill = threading.Thread(target=workers.kill, daemon=True)
        kill.start()
        kill.join(10)
        assert not kill.is_alive()
