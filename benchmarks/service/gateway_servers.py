"""Servers that benchmarks measure on this machine, and what their processes use."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
FLOOR = """
import sys, uuid, pathlib, uvicorn
from fastapi import FastAPI, Request
app = FastAPI()
folder = pathlib.Path(sys.argv[2])

@app.post("/v1/jobs")
async def submit(request: Request):
    async with request.form() as form:
        (folder / uuid.uuid4().hex).write_bytes(await form["file"].read())
    return {"job_id": "0", "status": "done"}

uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
"""


@contextmanager
def gateway(
    base_url: str | None,
    *,
    finished: int = 0,
    workers: int = 1,
    database_url: str | None = None,
) -> Iterator[str]:
    if base_url:
        yield base_url
        return
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        if finished:
            _add_finished(Path(folder) / "jobs", finished)
        command = [sys.executable, "-m", "artscraper_gateway", "--port", str(port)]
        options = [f"--base-dir={folder}/jobs", f"--output-parent={folder}/outputs"]
        options += [f"--worker-concurrency={workers}", "--log-level=error"]  # tables only
        if database_url:
            options.append(f"--database-url={database_url}")
        with _running([*command, *options], port) as url:
            yield url


@contextmanager
def floor() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        with _running([sys.executable, "-c", FLOOR, str(port), folder], port) as url:
            yield url


@contextmanager
def _running(command: list[str], port: int) -> Iterator[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise SystemExit("the server did not start") from None
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _add_finished(base_dir: Path, count: int) -> None:
    from artscraper_gateway.db.engine import open_engine
    from artscraper_gateway.db.tables import jobs
    from artscraper_gateway.jobs.models import NewJob
    from artscraper_gateway.jobs.repository import JobStore
    from artscraper_gateway.jobs.request import JobRequest
    from artscraper_gateway.settings.model import GatewayConfig

    engine = open_engine(GatewayConfig(base_dir=base_dir))
    store = JobStore(engine)
    with engine.begin() as connection:
        for number in range(count):
            store.add(
                connection, NewJob(f"{number:032x}", "image.png", JobRequest(), "passthrough")
            )
        ended = {"status": "done", "finished_at": jobs.c.submitted_at, "progress": 1.0}
        connection.execute(jobs.update().values(**ended))
    engine.dispose()


def memory(url: str) -> float:
    """MB of the server's processes; pages that they share are counted once."""
    return sum(process.memory_full_info().pss for process in _server(url)) / 1e6


def settled_memory(url: str) -> float:
    """MB once the workers have started and nothing changes any more."""
    before, now = 0.0, memory(url)
    while abs(now - before) > 1:
        time.sleep(2)
        before, now = now, memory(url)
    return now


def cpu(url: str) -> float:
    """Return seconds of processor time that the server's processes have used."""
    times = [process.cpu_times() for process in _server(url)]
    return sum(spent.user + spent.system for spent in times)


def _server(url: str) -> list[psutil.Process]:
    """Return the process that listens at `url`, and all below it."""
    port = urlsplit(url).port
    for process in psutil.process_iter():
        try:
            connections = process.net_connections("tcp")
        except psutil.Error:
            continue
        if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections):
            return [process, *process.children(recursive=True)]
    raise SystemExit(f"expected a gateway on this machine at {url}, found no process")


def open_files(url: str) -> int:
    """Return descriptors of the server's processes, once connections of clients are closed."""
    return sum(process.num_fds() for process in _server(url))
