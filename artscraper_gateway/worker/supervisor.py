"""Supervise the local worker processes: one a slot, replaced when it dies or hangs.

A slot is a locked file of this machine under base_dir. The supervisor takes the lock, hands it down
to the worker, and the kernel releases it when the worker's process ends, however it ends. So
several web processes of one machine share one set of workers, and a worker that outlives its
supervisor for a moment is never joined by a second one in its slot.

A worker writes a byte to its standard output about once a second, which is a pipe to here. If no
byte comes for a minute, the worker hangs: it is killed, and its jobs continue in the next one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from artscraper_gateway.sandbox.processes import module_environment
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.paths import machine_name
from artscraper_runner import NATIVE_THREAD_DEFAULTS

_log = logging.getLogger(__name__)
_POLL_S = 0.25
_FREE_SLOT_POLL_S = 0.5
_BACK_OFF_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)  # by deaths in a row
_STABLE_AFTER_S = 30.0  # a worker that lived this long ends such a row
_KILL_GRACE_S = 5.0
HANGS_AFTER_S = 60.0  # longer than a worker waits for a database connection


def slots_folder(config: GatewayConfig) -> Path:
    """Return the folder of this machine's lock files."""
    return config.base_dir / "workers" / machine_name()


def lock_slot(config: GatewayConfig, number: int) -> int | None:
    """Lock slot `number`; return the file descriptor with the lock, None if another has it."""
    path = slots_folder(config) / f"slot-{number}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def show_life(config: GatewayConfig) -> None:
    """Touch the file by which a container's health check monitors the supervisor."""
    path = slots_folder(config) / "alive"
    with suppress(OSError):  # a disk that fails is no reason to restart the container
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)


class WorkerSupervisor:
    """Keeps `config.worker_concurrency` workers running between `start` and `stop`.

    They have the first slots, which the supervisors of one machine share, or, if `exclusive`, the
    first free ones, so that each supervisor adds workers of its own.
    """

    def __init__(self, config: GatewayConfig, *, exclusive: bool = False) -> None:
        numbers = range(config.worker_concurrency)
        self._slots = [_Slot(config, number, exclusive=exclusive) for number in numbers]

    def start(self) -> None:
        """Start the workers, except those in slots of another process."""
        for slot in self._slots:
            slot.thread.start()

    def request_stop(self) -> None:
        """Request that the workers drain, without waiting for them."""
        for slot in self._slots:
            slot.stopping.set()

    def stop(self) -> None:
        """Let the workers drain and return when all have ended."""
        self.request_stop()
        for slot in self._slots:
            if slot.thread.ident is not None:
                slot.thread.join()

    def kill(self) -> None:
        """End the workers at once, before the process ends; their jobs continue at the next start.

        A signal handler may interrupt `request_stop` to call this, so it takes no lock.
        """
        for slot in self._slots:
            if slot.process is not None:
                slot.process.kill()

    @property
    def has_ended(self) -> bool:
        """Return whether all workers have ended after `request_stop`."""
        return not any(slot.thread.is_alive() for slot in self._slots)

    def problem(self) -> str | None:
        """Return the problem of a worker that hangs or keeps dying, or None."""
        return next((slot.problem for slot in self._slots if slot.problem), None)


@dataclass
class _Slot:
    """One slot and the thread that supervises its worker."""

    config: GatewayConfig
    number: int
    exclusive: bool = False
    hangs_after_s: float = HANGS_AFTER_S
    problem: str | None = field(default=None, init=False)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    stopping: threading.Event = field(default_factory=threading.Event, init=False)
    thread: threading.Thread = field(init=False)
    _deaths: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self.supervise, daemon=True)

    def supervise(self) -> None:
        """Run workers in the slot until `stopping` is set."""
        while not self.stopping.is_set():
            started = time.monotonic()
            try:
                self._run_once()
            except OSError:  # no memory, descriptors or disk for a worker; this may pass
                _log.exception("the worker of slot %d cannot be started", self.number)
                self._back_off(lived_s=time.monotonic() - started)

    def _run_once(self) -> None:
        """Run a worker to its end if the slot is free, else wait a moment."""
        started = time.monotonic()
        lock = lock_slot(self.config, self.number)
        if lock is None and self.exclusive:
            self.number += 1
            return
        if lock is None:
            self.stopping.wait(_FREE_SLOT_POLL_S)
            return
        try:
            process = self.process = self._start_worker(lock)
        finally:
            os.close(lock)  # the worker has it now
        try:
            with process:  # closes its pipes
                self._watch(process)
        finally:
            self.process = None
        if not self.stopping.is_set():
            _log.warning("the worker of slot %d %s", self.number, _ending(process.returncode))
        self._back_off(lived_s=time.monotonic() - started)

    def _command(self) -> list[str]:
        worker = ("worker", f"--slot={self.number}", "--supervised")
        return [sys.executable, "-m", "artscraper_gateway", *worker]

    def _start_worker(self, lock: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command(),
            stdin=subprocess.PIPE,  # never written to: its end signals the end of the supervisor
            stdout=subprocess.PIPE,  # signs of life
            pass_fds=(lock,),
            env={
                **NATIVE_THREAD_DEFAULTS,
                **module_environment(),
                **self.config.environment(),
            },
            # Ctrl-C in a terminal reaches the gateway alone, which drains. No session of its own:
            # Linux gives each an equal share of the processors, however nice its processes are.
            process_group=0,
        )

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Return when the worker has ended; kill it if it hangs, stop it if that is wanted."""
        last_sign = time.monotonic()
        while process.poll() is None and not self.stopping.is_set():
            if self._has_sign_of_life(process):
                last_sign, self.problem = time.monotonic(), None
            elif time.monotonic() - last_sign > self.hangs_after_s:
                self.problem = f"the worker of slot {self.number} hung and is being replaced"
                _log.error(
                    "the worker of slot %d sent no heartbeat for %.0f s; replacing it",
                    self.number,
                    self.hangs_after_s,
                )
                process.kill()
                process.wait()
        if process.poll() is None:
            self._stop(process)

    def _has_sign_of_life(self, process: subprocess.Popen[bytes]) -> bool:
        if process.stdout is None:
            return True
        readable, _, _ = select.select([process.stdout], [], [], _POLL_S)
        if not readable:
            return False
        if os.read(process.stdout.fileno(), 65_536):
            return True
        self.stopping.wait(_POLL_S)  # the pipe has ended, and so does the process
        return False

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=self.config.drain_timeout + _KILL_GRACE_S)
        except subprocess.TimeoutExpired:
            _log.warning("worker of slot %d did not stop in time; killing it", self.number)
            process.kill()
            process.wait()

    def _back_off(self, *, lived_s: float) -> None:
        if self.stopping.is_set():
            return
        self._deaths = 1 if lived_s > _STABLE_AFTER_S else self._deaths + 1
        delay = _BACK_OFF_S[min(self._deaths - 1, len(_BACK_OFF_S) - 1)]
        if self._deaths >= len(_BACK_OFF_S):
            self.problem = f"the worker of slot {self.number} keeps dying"
        _log.warning("starting the worker of slot %d again in %.1f s", self.number, delay)
        self.stopping.wait(delay)


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    name = signal.Signals(-status).name
    hint = ", as the kernel does when memory runs out" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"
