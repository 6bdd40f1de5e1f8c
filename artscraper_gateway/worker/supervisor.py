"""Supervise the local worker processes: one a slot, started again when it dies.

A slot is a locked file of this machine's under base_dir. The lock is taken by whoever supervises,
handed down to the worker, and let go by the kernel when the worker's process ends, however it
ends. So several web processes on one machine share one set of workers, and a worker that outlives
its supervisor for a moment is never joined by a second one of the same slot.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from artscraper_gateway.jobs.leases import machine_name
from artscraper_gateway.settings.model import GatewayConfig

_log = logging.getLogger(__name__)
_LOOK_FOR_FREE_SLOT_S = 0.5
_BACK_OFF_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)  # by how many deaths there were in a row
_STABLE_AFTER_S = 30.0  # a worker that lived this long starts a new row
_KILL_GRACE_S = 5.0


def lock_slot(config: GatewayConfig, number: int) -> int | None:
    """Takes slot `number`; returns the descriptor that holds it, or None when another has it."""
    path = config.base_dir / "workers" / machine_name() / f"slot-{number}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


class WorkerSupervisor:
    """Keeps `config.worker_concurrency` workers running between `start` and `stop`.

    They have the first slots, which supervisors on one machine share; or, `roaming`, the first
    that are free, so that each supervisor adds workers of its own.
    """

    def __init__(self, config: GatewayConfig, *, roaming: bool = False) -> None:
        numbers = range(config.worker_concurrency)
        self._slots = [_Slot(config, number, roaming=roaming) for number in numbers]

    def start(self) -> None:
        """Starts the workers; those of a slot that another process holds are left to it."""
        for slot in self._slots:
            slot.thread.start()

    def stop(self) -> None:
        """Tells the workers to drain and returns when all have ended."""
        for slot in self._slots:
            slot.request_stop()
        for slot in self._slots:
            slot.thread.join()


class _Slot:
    """One slot and the thread that looks after it."""

    def __init__(self, config: GatewayConfig, number: int, *, roaming: bool) -> None:
        self.config = config
        self.number = number
        self._roaming = roaming
        self.process: subprocess.Popen[bytes] | None = None
        self.thread = threading.Thread(target=self._look_after, daemon=True)
        self._stopping = threading.Event()
        self._deaths = 0

    def request_stop(self) -> None:
        self._stopping.set()
        process = self.process
        if process is not None:
            process.send_signal(signal.SIGTERM)

    def _look_after(self) -> None:
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                self._run_once()
            except OSError:  # no memory, descriptors or disk for a worker: they may come back
                _log.exception("the worker of slot %d cannot be started", self.number)
                self._back_off(lived_s=time.monotonic() - begun)

    def _run_once(self) -> None:
        """Runs a worker to its end if the slot is free, else waits a moment."""
        begun = time.monotonic()
        lock = lock_slot(self.config, self.number)
        if lock is None and self._roaming:
            self.number += 1
            return
        if lock is None:
            self._stopping.wait(_LOOK_FOR_FREE_SLOT_S)
            return
        try:
            self.process = self._start_worker(lock)
        finally:
            os.close(lock)  # the worker holds it now
        self._wait_for_end(self.process)
        self.process = None
        self._back_off(lived_s=time.monotonic() - begun)

    def _start_worker(self, lock: int) -> subprocess.Popen[bytes]:
        package_root = str(Path(__file__).resolve().parents[2])
        search_path = os.pathsep.join([package_root, os.environ.get("PYTHONPATH", "")])
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "artscraper_gateway"),
                *("worker", f"--slot={self.number}", "--supervised"),
            ],
            stdin=subprocess.PIPE,  # never written to: its end tells the worker that we are gone
            pass_fds=(lock,),
            env={
                # Idle threads of a parallel loop sleep: spinning, they would take the web process'
                # time, and that of the other workers.
                "OMP_WAIT_POLICY": "PASSIVE",
                **os.environ,
                **self.config.environment(),
                "PYTHONPATH": search_path,
            },
            # Ctrl-C in a terminal reaches the gateway alone, which drains. No session of its own:
            # Linux gives each an equal share of the processors, however nice its processes are.
            process_group=0,
        )

    def _wait_for_end(self, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None and not self._stopping.is_set():
            try:
                process.wait(timeout=_LOOK_FOR_FREE_SLOT_S)
            except subprocess.TimeoutExpired:
                continue
        if process.poll() is None:
            self._end(process)
        if process.stdin is not None:
            process.stdin.close()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)  # once more: it may have started after request_stop
        try:
            process.wait(timeout=self.config.drain_timeout + _KILL_GRACE_S)
        except subprocess.TimeoutExpired:
            _log.warning("worker of slot %d did not stop in time; killing it", self.number)
            process.kill()
            process.wait()

    def _back_off(self, *, lived_s: float) -> None:
        if self._stopping.is_set():
            return
        self._deaths = 1 if lived_s > _STABLE_AFTER_S else self._deaths + 1
        delay = _BACK_OFF_S[min(self._deaths - 1, len(_BACK_OFF_S) - 1)]
        _log.warning("worker of slot %d died; starting it again in %.1f s", self.number, delay)
        self._stopping.wait(delay)
