"""Submit latency, jobs a second and memory of a running gateway, beside a bare upload server.

    python benchmarks/service/gateway.py                 # starts a gateway of its own
    python benchmarks/service/gateway.py --base-url URL  # measures one that runs on this machine
    python benchmarks/service/gateway.py --database-url postgresql://... --workers 2

Jobs ask for neither analysis nor protection: what is measured is the service, not the pictures.
The floor is the same web framework taking the same form and writing it to disk, without checks,
jobs or durability.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import statistics
import time

import httpx
import numpy as np
from gateway_load import FIELDS, load
from gateway_servers import (
    floor,
    gateway,
    memory,
    open_files,
    settled_memory,
)
from PIL import Image

SIDE_PX = 443  # noise of this size is a PNG of about 590 kB
OFFERED = (80, 120, 150)  # jobs/s


def main() -> None:
    """Print the tables."""
    arguments = _arguments()
    picture = _picture()
    print(f"{arguments.jobs} jobs, {arguments.clients} clients, PNG of {len(picture) // 1000} kB")
    print("| server | submit p50 ms | p99 ms | jobs/s to done | CPU ms/job | status p99 ms |")
    print("| --- | --- | --- | --- | --- | --- |")
    with floor() as url:
        print(_row("floor: form to disk", asyncio.run(load(url, picture, arguments, floor=True))))
    with gateway(
        arguments.base_url, workers=arguments.workers, database_url=arguments.database_url
    ) as url:
        idle = settled_memory(url)
        asyncio.run(load(url, picture, arguments, jobs=10 * arguments.clients))
        full = asyncio.run(load(url, picture, arguments))
        print(_row("gateway, as fast as the clients can", full))
        warm = memory(url)
        for offered in OFFERED:
            paced = asyncio.run(load(url, picture, arguments, offered=offered))
            print(_row(f"gateway, {offered} jobs/s offered", paced))
        alone = asyncio.run(_one_at_a_time(url, picture))
        print(f"empty job, submit to done: median {alone * 1000:.0f} ms")
        print(
            f"memory of all processes (PSS): idle {idle:.0f} MB, after {arguments.jobs} jobs"
            f" {warm:.0f} MB, after {(1 + len(OFFERED)) * arguments.jobs} {memory(url):.0f} MB"
        )
        print(f"a job in its stage mist, deleted: {_deletions(url, picture)}")
    if arguments.finished:
        _with_finished(arguments, picture)
    if arguments.many:
        _many(arguments)


def _with_finished(arguments: argparse.Namespace, picture: bytes) -> None:
    """Print a row of a gateway whose database holds so many finished jobs."""
    with gateway(None, finished=arguments.finished) as url:
        settled_memory(url)
        asyncio.run(load(url, picture, arguments, jobs=10 * arguments.clients))
        before = memory(url)
        paced = asyncio.run(load(url, picture, arguments, offered=OFFERED[0]))
        name = f"gateway with {arguments.finished} finished jobs, {OFFERED[0]} jobs/s offered"
        print(_row(name, paced))
        print(f"its memory (PSS): before {before:.0f} MB, after {memory(url):.0f} MB")


def _many(arguments: argparse.Namespace) -> None:
    """Print what so many small jobs leave behind in memory and open files."""
    small = _picture(side_px=64)
    with gateway(None, workers=arguments.workers, database_url=arguments.database_url) as url:
        settled_memory(url)
        asyncio.run(load(url, small, arguments, jobs=1000))  # modules, caches, connections
        before, files = settled_memory(url), open_files(url)
        figures = asyncio.run(load(url, small, arguments, jobs=arguments.many))
        print(
            f"{arguments.many} small jobs: {figures['rate']:.0f} a second, p99 of submits"
            f" {figures['p99']:.1f} ms"
        )
        print(
            f"memory (PSS): before {before:.0f} MB, after {settled_memory(url):.0f} MB;"
            f" open files: before {files}, after {open_files(url)}"
        )


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
    """Return the seconds from deleting a job until its worker has released it."""
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


if __name__ == "__main__":
    main()
