"""Submit latency, jobs a second and memory of a running gateway, beside a bare upload server.

    python benchmarks/gateway.py                     # starts a gateway of its own
    python benchmarks/gateway.py --base-url URL      # measures one that runs on this machine
    python benchmarks/gateway.py --database-url postgresql://... --workers 2

Jobs ask for neither analysis nor protection: what is measured is the service, not the pictures.
The floor is the same web framework taking the same form and writing it to disk, without checks,
jobs or durability.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
SIDE_PX = 443  # noise of this size is a PNG of about 590 kB
OFFERED = 80  # jobs/s
FIELDS = {"include_protection": "false", "include_hash_analysis": "false"}
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


def main() -> None:
    """Prints the tables."""
    arguments = _arguments()
    picture = _picture()
    print(f"{arguments.jobs} jobs, {arguments.clients} clients, PNG of {len(picture) // 1000} kB")
    print("| server | submit p50 ms | p99 ms | jobs/s to done | CPU ms/job | status p99 ms |")
    print("| --- | --- | --- | --- | --- | --- |")
    with _floor() as url:
        print(_row("floor: form to disk", asyncio.run(_load(url, picture, arguments, floor=True))))
    with _gateway(
        arguments.base_url, workers=arguments.workers, database_url=arguments.database_url
    ) as url:
        idle = _settled_memory(url)
        asyncio.run(_load(url, picture, arguments, jobs=10 * arguments.clients))
        full = asyncio.run(_load(url, picture, arguments))
        print(_row("gateway, as fast as the clients can", full))
        warm = _memory(url)
        paced = asyncio.run(_load(url, picture, arguments, offered=OFFERED))
        print(_row(f"gateway, {OFFERED} jobs/s offered", paced))
        alone = asyncio.run(_one_at_a_time(url, picture))
        print(f"empty job, submit to done: median {alone * 1000:.0f} ms")
        print(
            f"memory of all processes (PSS): idle {idle:.0f} MB, after {arguments.jobs} jobs"
            f" {warm:.0f} MB, after {2 * arguments.jobs} {_memory(url):.0f} MB"
        )
        print(f"a job in its stage mist, deleted: {_deletions(url, picture)}")
    if arguments.finished:
        _with_finished(arguments, picture)
    if arguments.many:
        _many(arguments)


def _with_finished(arguments: argparse.Namespace, picture: bytes) -> None:
    """Prints a row of a gateway whose database holds so many finished jobs."""
    with _gateway(None, finished=arguments.finished) as url:
        _settled_memory(url)
        asyncio.run(_load(url, picture, arguments, jobs=10 * arguments.clients))
        before = _memory(url)
        paced = asyncio.run(_load(url, picture, arguments, offered=OFFERED))
        name = f"gateway with {arguments.finished} finished jobs, {OFFERED} jobs/s offered"
        print(_row(name, paced))
        print(f"its memory (PSS): before {before:.0f} MB, after {_memory(url):.0f} MB")


def _many(arguments: argparse.Namespace) -> None:
    """Prints what so many small jobs leave behind in memory and open files."""
    small = _picture(side_px=64)
    with _gateway(None, workers=arguments.workers, database_url=arguments.database_url) as url:
        _settled_memory(url)
        asyncio.run(_load(url, small, arguments, jobs=1000))  # modules, caches, connections
        before, files = _settled_memory(url), _open_files(url)
        figures = asyncio.run(_load(url, small, arguments, jobs=arguments.many))
        print(
            f"{arguments.many} small jobs: {figures['rate']:.0f} a second, p99 of submits"
            f" {figures['p99']:.1f} ms"
        )
        print(
            f"memory (PSS): before {before:.0f} MB, after {_settled_memory(url):.0f} MB;"
            f" open files: before {files}, after {_open_files(url)}"
        )


def _open_files(url: str) -> int:
    """Descriptors of the server's processes, once connections of clients are closed."""
    return sum(process.num_fds() for process in _server(url))


def _add_finished(base_dir: Path, count: int) -> None:
    from artscraper_gateway.config import GatewayConfig
    from artscraper_gateway.database import jobs, open_engine
    from artscraper_gateway.store import JobStore, NewJob

    engine = open_engine(GatewayConfig(base_dir=base_dir))
    store = JobStore(engine)
    request = {"protection": {"watermark_payload": None}}
    with engine.begin() as connection:
        for number in range(count):
            store.add(connection, NewJob(f"{number:032x}", "image.png", request, "light"))
        ended = {"status": "done", "finished_at": jobs.c.submitted_at, "progress": 1.0}
        connection.execute(jobs.update().values(**ended))
    engine.dispose()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base-url", help="a gateway on this machine (default: start one)")
    parser.add_argument("--database-url", help="of an empty database (default: SQLite)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument(
        "--finished", type=int, default=0, help="also measure with so many finished jobs (10000)"
    )
    parser.add_argument(
        "--many", type=int, default=0, help="also what so many small jobs leave behind (20000)"
    )
    return parser.parse_args()


def _picture(*, side_px: int = SIDE_PX) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (side_px, side_px, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _row(name: str, figures: dict[str, float]) -> str:
    status = f"{figures['status_p99']:.1f}" if "status_p99" in figures else "-"
    return (
        f"| {name} | {figures['p50']:.1f} | {figures['p99']:.1f}"
        f" | {figures['rate']:.0f} | {figures['cpu']:.1f} | {status} |"
    )


async def _load(
    url: str,
    picture: bytes,
    arguments: argparse.Namespace,
    *,
    jobs: int | None = None,
    floor: bool = False,
    offered: float | None = None,
) -> dict[str, float]:
    """Submits all jobs from so many clients, then waits until the last one is done.

    `offered` jobs a second in all; None = each client submits again as soon as it has its answer.
    """
    request = _request(url, picture)
    submits: list[float] = []
    statuses: list[float] = []
    ids: list[str] = []
    total = jobs or arguments.jobs
    begun, cpu = time.perf_counter(), _cpu(url)

    async def submit_some(client: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        for number in range(client, total, arguments.clients):
            if offered:
                await asyncio.sleep(begun + number / offered - time.perf_counter())
            started = time.perf_counter()
            writer.write(request)
            ids.append(await _answer(reader))
            submits.append(time.perf_counter() - started)
        writer.close()

    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        asking = None if floor else asyncio.create_task(_ask(client, ids, statuses))
        await asyncio.gather(*(submit_some(number) for number in range(arguments.clients)))
        if asking is not None:
            await _until_none_waits(client)
            asking.cancel()
        seconds, cpu_s = time.perf_counter() - begun, _cpu(url) - cpu
        if not floor:
            await _check_done(client, ids)
    figures = {
        "p50": statistics.median(submits) * 1000,
        "p99": _percentile(submits, 99),
        "rate": len(ids) / seconds,
        "cpu": cpu_s * 1000 / len(ids),
    }
    if statuses:
        figures["status_p99"] = _percentile(statuses, 99)
    return figures


def _request(url: str, picture: bytes) -> bytes:
    """The whole HTTP request, made once: what is measured is the server, not this client."""
    form = httpx.Request("POST", url, files={"file": ("noise.png", picture)}, data=FIELDS)
    body = form.read()
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: {form.headers['Content-Type']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> str:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.split("content-length:")[1].split("\r\n")[0])
    body = await reader.readexactly(length)
    if " 200 " not in head.split("\r\n")[0]:
        raise SystemExit(f"submission refused: {body.decode()}")
    return str(json.loads(body)["job_id"])


async def _ask(client: httpx.AsyncClient, ids: list[str], taken: list[float]) -> None:
    """Asks for the newest job's status 20 times a second."""
    while True:
        await asyncio.sleep(0.05)
        if ids:
            started = time.perf_counter()
            await client.get(f"/v1/jobs/{ids[-1]}")
            taken.append(time.perf_counter() - started)


async def _until_none_waits(client: httpx.AsyncClient) -> None:
    for status in ("queued", "running"):
        query = {"status": status, "page_size": 1}
        while (await client.get("/v1/jobs", params=query)).json()["jobs"]:
            await asyncio.sleep(0.02)


async def _check_done(client: httpx.AsyncClient, ids: list[str]) -> None:
    for job_id in ids:
        job = (await client.get(f"/v1/jobs/{job_id}")).json()
        if job["status"] != "done":
            raise SystemExit(f"job {job_id} is {job['status']}: {job['error']}")


async def _one_at_a_time(url: str, picture: bytes) -> float:
    """Median seconds from submitting an empty job to its end, with nothing else to do."""
    taken = []
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        for _ in range(20):
            started = time.perf_counter()
            answer = await client.post(
                "/v1/jobs",
                files={"file": ("noise.png", picture)},
                data=FIELDS,
                headers={"Prefer": "wait=20"},
            )
            if answer.json()["status"] != "done":
                raise SystemExit(f"the job did not end: {answer.text}")
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def _deletions(url: str, picture: bytes, *, times: int = 7) -> str:
    """Seconds from the request to cancel and delete a job until its worker has let go of it."""
    taken = []
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        for _ in range(times):
            files, data = {"file": ("noise.png", picture)}, {"stages": "mist"}
            job = client.post("/v1/jobs", files=files, data=data).json()
            while job["stage"] != "mist" or job["progress"] <= 0.5:  # the third step of four
                job = client.get(f"/v1/jobs/{job['job_id']}").json()
                if job["finished_at"]:
                    raise SystemExit("the job was over before it could be deleted")
            started = time.perf_counter()
            client.delete(f"/v1/jobs/{job['job_id']}").raise_for_status()
            taken.append(time.perf_counter() - started)
    return f"median {statistics.median(taken):.2f} s, longest {max(taken):.2f} s of {times}"


def _percentile(seconds: list[float], percent: int) -> float:
    return float(np.percentile(np.array(seconds), percent)) * 1000


def _memory(url: str) -> float:
    """MB of the server's processes; pages that they share are counted once."""
    return sum(process.memory_full_info().pss for process in _server(url)) / 1e6


def _settled_memory(url: str) -> float:
    """MB once the workers have started and nothing changes any more."""
    before, now = 0.0, _memory(url)
    while abs(now - before) > 1:
        time.sleep(2)
        before, now = now, _memory(url)
    return now


def _cpu(url: str) -> float:
    """Seconds of processor time that the server's processes have used."""
    times = [process.cpu_times() for process in _server(url)]
    return sum(spent.user + spent.system for spent in times)


def _server(url: str) -> list[psutil.Process]:
    """The process that listens at `url`, and all below it."""
    port = urlsplit(url).port
    for process in psutil.process_iter():
        try:
            connections = process.net_connections("tcp")
        except psutil.Error:
            continue
        if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections):
            return [process, *process.children(recursive=True)]
    raise SystemExit(f"expected a gateway on this machine at {url}, found no process")


@contextmanager
def _gateway(
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
        options.append(f"--worker-concurrency={workers}")
        if database_url:
            options.append(f"--database-url={database_url}")
        with _running([*command, *options], port) as url:
            yield url


@contextmanager
def _floor() -> Iterator[str]:
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


if __name__ == "__main__":
    main()
