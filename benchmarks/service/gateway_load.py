"""A load of jobs for a running gateway, and how long its answers take."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from urllib.parse import urlsplit

import httpx
import numpy as np
from gateway_servers import cpu

FIELDS = {"include_protection": "false", "include_hash_analysis": "false"}


async def load(
    url: str,
    picture: bytes,
    arguments: argparse.Namespace,
    *,
    jobs: int | None = None,
    floor: bool = False,
    offered: float | None = None,
) -> dict[str, float]:
    """Submit all jobs from so many clients, then waits until the last one is done.

    `offered` jobs a second in all; None = each client submits again as soon as it has its answer.
    """
    request = _request(url, picture)
    submits: list[float] = []
    statuses: list[float] = []
    ids: list[str] = []
    total = jobs or arguments.jobs
    begun, cpu_before = time.perf_counter(), cpu(url)

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
            await until_none_waits(client)
            asking.cancel()
        seconds, cpu_s = time.perf_counter() - begun, cpu(url) - cpu_before
        if not floor:
            await check_done(client, ids)
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
    """Return the whole HTTP request, made once: the server is measured, not this client."""
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
    """Ask for the newest job's status 20 times a second."""
    while True:
        await asyncio.sleep(0.05)
        if ids:
            started = time.perf_counter()
            await client.get(f"/v1/jobs/{ids[-1]}")
            taken.append(time.perf_counter() - started)


async def until_none_waits(client: httpx.AsyncClient) -> None:
    for status in ("queued", "running"):
        query = {"status": status, "page_size": 1}
        while (await client.get("/v1/jobs", params=query)).json()["jobs"]:
            await asyncio.sleep(0.02)


async def check_done(client: httpx.AsyncClient, ids: list[str]) -> None:
    for job_id in ids:
        job = (await client.get(f"/v1/jobs/{job_id}")).json()
        if job["status"] != "done":
            raise SystemExit(f"job {job_id} is {job['status']}: {job['error']}")


def _percentile(seconds: list[float], percent: int) -> float:
    return float(np.percentile(np.array(seconds), percent)) * 1000
