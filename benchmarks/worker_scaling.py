"""Jobs a second of one worker process and of two, on jobs that are all computing.

python benchmarks/worker_scaling.py
"""

from __future__ import annotations

import asyncio
import io
import time

import httpx
import numpy as np
from gateway_load import check_done, until_none_waits
from gateway_servers import gateway
from PIL import Image

JOBS = 24
SIDE_PX = 900
FIELDS = {"stages": "invisible-watermark"}


def main() -> None:
    """Prints the table."""
    print(f"{JOBS} jobs with a watermark and analysis, noise of {SIDE_PX} px")
    print("| worker processes | jobs/s | times one |")
    print("| --- | --- | --- |")
    noise = np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG", compress_level=1)
    one = None
    for workers in (1, 2):
        with gateway(None, workers=workers) as url:
            rate = asyncio.run(_rate(url, buffer.getvalue(), workers))
        one = one or rate
        print(f"| {workers} | {rate:.2f} | {rate / one:.2f} |")


async def _rate(url: str, picture: bytes, workers: int) -> float:
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
        return JOBS / await seconds_for(JOBS)


if __name__ == "__main__":
    main()
