"""Jobs a second of one worker process and of two, on jobs that are all computing.

    python benchmarks/service/worker_scaling.py

With a core for each worker: a job uses threads where it can, so that one worker alone takes more
than one core where it may. What that leaves for a second worker is printed too. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import numpy as np
from gateway_load import check_done, until_none_waits
from gateway_servers import cpu, gateway
from PIL import Image

JOBS = 24
SIDE_PX = 900
FIELDS = {"stages": "invisible-watermark"}


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    print(f"{JOBS} jobs with a watermark and analysis, noise of {SIDE_PX} px")
    print("| worker processes | cores | jobs/s | times one on one | cores used |")
    print("| --- | --- | --- | --- | --- |")
    noise = np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG", compress_level=1)
    alone = None
    for workers, cores in ((1, 1), (2, 2), (1, 2)):
        with _on_cores(cores), gateway(None, workers=workers) as url:
            rate, used = asyncio.run(_rate(url, buffer.getvalue(), workers))
        alone = alone or rate
        print(f"| {workers} | {cores} | {rate:.2f} | {rate / alone:.2f} | {used:.2f} |")


@contextmanager
def _on_cores(count: int) -> Iterator[None]:
    """Limit processes that are started meanwhile, and this one, to so many cores."""
    available = os.sched_getaffinity(0)
    if len(available) < count:
        raise SystemExit(f"expected {count} cores, found {len(available)}")
    os.sched_setaffinity(0, sorted(available)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, available)


async def _rate(url: str, picture: bytes, workers: int) -> tuple[float, float]:
    """Return jobs a second, and how many cores the gateway used for them."""
    async with httpx.AsyncClient(base_url=url, timeout=600, trust_env=False) as client:

        async def seconds_for(count: int) -> float:
            begun, ids = time.perf_counter(), []
            for _ in range(count):
                answer = await client.post("/v1/jobs", files={"file": picture}, data=FIELDS)
                ids.append(str(answer.json()["job_id"]))
            await until_none_waits(client)
            seconds = time.perf_counter() - begun
            await check_done(client, ids)
            return seconds

        await seconds_for(4 * workers)  # what a process does for its first jobs only
        before = cpu(url)
        seconds = await seconds_for(JOBS)
        return JOBS / seconds, (cpu(url) - before) / seconds


if __name__ == "__main__":
    main()
