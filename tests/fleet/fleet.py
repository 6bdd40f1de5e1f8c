"""A web process without workers, and workers that tests may kill, freeze and replace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from artscraper_gateway.db.tables import workers
from artscraper_gateway.jobs.leases import Heartbeats
from artscraper_gateway.tests.gateway_process import (
    REPOSITORY,
    STAGES_FOR_TESTS,
    GatewayProcess,
    freeze,
    until,
)

Job = dict[str, Any]
STAGES = {"stages": "invisible-watermark,gate"}


@dataclass
class Worker:
    """`python -m artscraper_gateway worker`, one process without a supervisor."""

    fleet: Fleet
    slot: int
    base_dir: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        options = {**self.fleet.options, "base_dir": self.base_dir, "slot": self.slot}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        self.log_path.unlink(missing_ok=True)
        with self.log_path.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "artscraper_gateway", "worker", *arguments],
                cwd=self.fleet.home,
                env={**os.environ, **self.fleet.environment, "OMP_WAIT_POLICY": "PASSIVE"},
                stdin=subprocess.DEVNULL,
                stderr=log,
            )

    @property
    def log_path(self) -> Path:
        return self.fleet.home / f"worker-{self.slot}.log"

    def is_ready(self) -> bool:
        assert self.process.poll() in (None, -signal.SIGKILL), self.log_path.read_text()
        return "is ready" in self.log_path.read_text()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP, in a moment in which others can go on."""
        on_server = "database_url" in self.fleet.options
        path = None if on_server else self.fleet.web.base_dir / "gateway.sqlite3"
        freeze(psutil.Process(self.process.pid), path)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=30)


@dataclass
class Supervisor:
    """`python -m artscraper_gateway worker --concurrency N`, with the workers below it."""

    process: subprocess.Popen[bytes]
    log_path: Path

    def log(self) -> str:
        return self.log_path.read_text()

    def ready(self) -> int:
        return self.log().count("is ready")


@dataclass
class Fleet:
    """Processes that share the folder `home`, where the gate of the stages for tests lies too."""

    home: Path
    options: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)
    workers: dict[int, Worker] = field(default_factory=dict)
    replaces_dead: bool = False  # while it waits for jobs, as a supervisor would
    web: GatewayProcess = field(init=False)

    def __post_init__(self) -> None:
        paths = os.pathsep.join([str(REPOSITORY), str(STAGES_FOR_TESTS)])
        self.environment = {**self.environment, "PYTHONPATH": paths}
        # A busy machine starves workers for longer than the default; only some tests are about it.
        patient = {"max_wait": 180, "worker_timeout": 60}
        self.options = {"output_parent": self.home / "outputs", **patient, **self.options}
        web = {**self.options, "worker_concurrency": 0}
        self.web = GatewayProcess(self.home, web, True, environment=self.environment).start()

    def start_worker(self, slot: int, *, base_dir: Path | None = None) -> Worker:
        self.workers[slot] = Worker(self, slot, base_dir or self.web.base_dir)
        return self.workers[slot]

    def ready_worker(self, slot: int, *, base_dir: Path | None = None) -> Worker:
        worker = self.start_worker(slot, base_dir=base_dir)
        until(
            worker.is_ready, what=lambda: f"worker {slot} is ready: {worker.log_path.read_text()}"
        )
        return worker

    def replace_dead(self) -> None:
        """Start each worker again that has ended: on a busy machine one may be given up."""
        for slot, worker in self.workers.items():
            if worker.process.poll() is not None:
                self.start_worker(slot, base_dir=worker.base_dir)

    def supervisor(self, name: str, *, concurrency: int) -> Supervisor:
        arguments = [f"--{key}={value}" for key, value in self.options.items()]
        arguments += [f"--base_dir={self.web.base_dir}", f"--concurrency={concurrency}"]
        log_path = self.home / f"{name}.log"
        with log_path.open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "artscraper_gateway", "worker", *arguments],
                cwd=self.home,
                env={**os.environ, **self.environment},
                stderr=log,
            )
        return Supervisor(process, log_path)

    def stop(self) -> None:
        for worker in self.workers.values():
            if worker.process.poll() is None:
                worker.send(signal.SIGCONT)
                worker.kill()
        self.web.stop()

    def submit(self, picture: bytes, **fields: str) -> str:
        with self.web.client() as client:
            answer = client.post("/v1/jobs", files={"file": picture}, data={**STAGES, **fields})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["job_id"])

    def job(self, job_id: str) -> Job:
        with self.web.client() as client:
            job: Job = client.get(f"/v1/jobs/{job_id}").json()
            return job

    def ended(self, job_id: str, *, timeout_s: float = 180) -> Job:
        def state() -> Job | None:
            if self.replaces_dead:
                self.replace_dead()
            job = self.job(job_id)
            return job if job["status"] in ("done", "error") else None

        ended: Job = until(state, what=lambda: f"{job_id} ends: {self.logs()}", timeout_s=timeout_s)
        return ended

    def entered(self, times: int = 1, *, timeout_s: float = 180) -> None:
        mark = self.home / "gate-entered"
        until(
            lambda: mark.exists() and len(mark.read_text()) >= times,
            what=lambda: f"the gate is entered {times} times: {self.logs()}",
            timeout_s=timeout_s,
        )

    def open_gate(self) -> None:
        (self.home / "gate-open").touch()

    def logs(self) -> str:
        paths = [self.home / "gateway.log", *(each.log_path for each in self.workers.values())]
        return "\n".join(f"{path.name}:\n{path.read_text()}" for path in paths)


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the names in a folder, each with its inode and its time of change."""
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def given_up(heart: Heartbeats) -> None:
    """Expire a silent worker as others do."""
    with heart.engine.begin() as connection:
        connection.execute(sa.delete(workers).where(workers.c.id == heart.id))


def registered(engine: sa.Engine, slot: int) -> Heartbeats:
    """Return the heartbeats of a worker without a process: tests beat for it."""
    heart = Heartbeats(engine, f"host.slot-{slot}", missed_beats_limit=3, origin="tests")
    heart.register()
    return heart
