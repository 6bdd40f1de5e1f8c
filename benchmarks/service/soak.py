"""Mixed jobs for some minutes among kills, hangs and outages, and an account of all of them.

    python benchmarks/service/soak.py --minutes 30

Starts a gateway of its own. Clients send pictures of all formats (filed away, analysed, marked,
protected, in batches, some twice under one idempotency key), look, cancel and delete. All the while
workers are killed with kill -9 or stopped with SIGSTOP, and the folder of the results cannot be
written for some seconds. Ends with 1 when a job or a file is not where it should be.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from soak_clients import Clients

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from artscraper_gateway.storage.paths import (  # noqa: E402
    RUNNING,
    is_job_id,
)
from artscraper_gateway.tests.gateway_process import GatewayProcess, freeze  # noqa: E402

SAMPLE_EVERY_S = 1.0
KILL_EVERY_S = 10.0  # on average; a worker takes about two to start
HANG_EVERY_S = 45.0  # a worker that hangs is replaced after a minute
OUTAGE_EVERY_S, OUTAGE_S = 40.0, (3.0, 20.0)
REFUSED_AFTER_S = 5.0  # for so long after an outage submissions may still be refused
SETTLE_S = 90.0  # files that could not be removed go within a minute
# Root may write everywhere, unless it gives that up.
UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
# Of the time. The queue keeps its records for ten minutes, and what each connection to the database
# remembers of it grows as long.
WARM_UP = 2 / 3
SLOPE_MB_H = 1.0  # of the web process, at most; needs an hour or more of soaking


@dataclass
class Soak:
    """One run against one gateway."""

    gateway: GatewayProcess
    clients: Clients
    samples: list[tuple[float, float, int, float]] = field(default_factory=list)
    kills: int = 0
    hangs: int = 0
    outages: int = 0

    async def run(self, seconds: float, clients: int) -> None:
        """Work for so long, then wait for the last job's end."""
        ends = time.monotonic() + seconds
        loops: list[Callable[[], Awaitable[None]]] = [self.clients.act] * clients
        loops += [self._kill, self._hang, self._break_storage, self._sample]
        await asyncio.gather(*(_until(ends, loop) for loop in loops))
        await self.clients.until_all_have_ended()
        await self._settle()

    async def _kill(self) -> None:
        await asyncio.sleep(self.clients.draw.expovariate(1 / KILL_EVERY_S))
        workers = [child for child in self.gateway.workers() if _is_worker(child)]
        if workers:
            self.clients.draw.choice(workers).kill()
            self.kills += 1

    async def _hang(self) -> None:
        """Stop a worker for good, but not the last one: all would wait for its replacement."""
        await asyncio.sleep(self.clients.draw.expovariate(1 / HANG_EVERY_S))
        workers = [child for child in self.gateway.workers() if _is_worker(child)]
        if len(workers) > 1:
            database = self.gateway.base_dir / "gateway.sqlite3"
            with suppress(psutil.Error):  # it was killed meanwhile
                await asyncio.to_thread(freeze, self.clients.draw.choice(workers), database)
                self.hangs += 1

    async def _break_storage(self) -> None:
        """Take the right to write from the folder of the results, and give it back."""
        await asyncio.sleep(self.clients.draw.expovariate(1 / OUTAGE_EVERY_S))
        folders = [self.gateway.outputs, self.gateway.outputs / RUNNING]
        self.clients.may_refuse = True
        self.outages += 1
        for folder in filter(Path.is_dir, folders):
            folder.chmod(0o500)
        try:
            await asyncio.sleep(self.clients.draw.uniform(*OUTAGE_S))
        finally:
            for folder in filter(Path.is_dir, folders):
                folder.chmod(0o700)
        await asyncio.sleep(REFUSED_AFTER_S)
        self.clients.may_refuse = False

    async def _settle(self) -> None:
        """Wait until what could not be removed during an outage has been."""
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            known = {job["job_id"] for job in await self._listed()}
            if not _orphans(self.gateway, known) and not known & self.clients.ledger.deleted:
                return
            await asyncio.sleep(1)

    async def _sample(self) -> None:
        web = psutil.Process(self.gateway.pid)
        workers = sum(_rss(child) for child in self.gateway.workers())
        self.samples.append((time.monotonic(), _rss(web), web.num_fds(), workers))
        await asyncio.sleep(SAMPLE_EVERY_S)

    async def account(self) -> dict[str, int]:
        """Count what is lost, there twice, or left behind; all should be 0."""
        ledger, listed = self.clients.ledger, await self._listed()
        states = {job["job_id"]: job for job in listed}
        there = set(ledger.there)
        done = [job["job_id"] for job in listed if job["status"] == "done"]
        failed = [job for job in listed if job["error_code"] == "failed"]
        failed += [
            job
            for job in listed
            if job["error_code"] == "cancelled" and job["job_id"] not in ledger.cancelled
        ]
        for job in failed:
            print(f"failed: {job['error']}")
        unfinished = [job for job in listed if job["status"] in ("queued", "running")]
        incomplete = [job_id for job_id in done if not await self._is_whole(job_id)]
        orphans = _orphans(self.gateway, set(states))
        for path in orphans[:20]:
            print(f"orphan: {path}")
        return {
            "lost": len(there - states.keys()) + len(unfinished) + len(incomplete),
            "failed": len(failed),
            "duplicated": len(states.keys() - ledger.accepted.keys())
            + ledger.twice
            + len(listed)
            - len(states),
            "not deleted": len(states.keys() & ledger.deleted),
            "orphaned files": len(orphans),
            "odd answers": sum(ledger.odd.values()),
        }

    async def _listed(self) -> list[dict[str, Any]]:
        params: dict[str, Any] = {"page_size": 1000}
        found: list[dict[str, Any]] = []
        while True:
            page = (await self.clients.client.get("/v1/jobs", params=params)).json()
            found += page["jobs"]
            if page["next_page_token"] is None:
                return found
            params["page_token"] = page["next_page_token"]

    async def _is_whole(self, job_id: str) -> bool:
        answer = await self.clients.client.get(f"/v1/jobs/{job_id}/result")
        if not self.clients.is_expected(answer, 200):
            return False
        layers = answer.json()["summary"]["layers"]
        expected = {"marked": 2, "protected": 2}.get(
            self.clients.ledger.accepted.get(job_id, ""), 1
        )
        return len(layers) == expected and all(Path(layer["path"]).is_file() for layer in layers)


async def _until(ends: float, act: Callable[[], Awaitable[None]]) -> None:
    while time.monotonic() < ends:
        await act()


def _is_worker(process: psutil.Process) -> bool:
    """Return whether it is a worker process that runs."""
    try:
        return "worker" in process.cmdline() and process.status() != psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def _rss(process: psutil.Process) -> float:
    try:
        return process.memory_info().rss / 1e6
    except psutil.Error:
        return 0.0


def _orphans(gateway: GatewayProcess, known: set[str]) -> list[Path]:
    """Return the folders of deleted jobs, and files that only running or incoming jobs need."""
    found = [
        folder
        for parent in (gateway.base_dir, gateway.outputs)
        for folder in parent.iterdir()
        if is_job_id(folder.name) and folder.name not in known
    ]
    running = gateway.outputs / RUNNING
    found += running.iterdir() if running.is_dir() else []
    found += gateway.base_dir.glob("reading-*")
    for parent in (gateway.base_dir, gateway.outputs):
        found += [
            path
            for path in parent.rglob("*")
            if path.name.startswith((".half-", "incoming")) or path.suffix == ".part"
        ]
    return found


def _slope(samples: list[tuple[float, float, int, float]]) -> tuple[float, float]:
    """MB an hour of the web process by least squares, and the standard error of that."""
    hours = np.array([sample[0] for sample in samples]) / 3600
    used = np.array([sample[1] for sample in samples])
    hours -= hours.mean()
    slope = float(hours @ used / (hours @ hours))
    rest = used - used.mean() - slope * hours
    return slope, float(np.sqrt(rest @ rest / max(1, len(samples) - 2) / (hours @ hours)))


def _percentile(seconds: list[float], percent: int) -> float:
    return float(np.percentile(np.array(seconds), percent)) * 1000


async def _soak(gateway: GatewayProcess, arguments: argparse.Namespace) -> dict[str, int]:
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(
        base_url=gateway.base_url, timeout=120, trust_env=False, limits=limits
    ) as client:
        soak = Soak(gateway, Clients(client, random.Random(arguments.seed)))
        await soak.run(arguments.minutes * 60, arguments.clients)
        account = await soak.account()
    _print(soak, account)
    return account


def _print(soak: Soak, account: dict[str, int]) -> None:
    ledger = soak.clients.ledger
    kinds = ", ".join(
        f"{count} {kind}" for kind, count in Counter(ledger.accepted.values()).items()
    )
    print(f"{len(ledger.accepted)} jobs accepted: {kinds}")
    print(
        f"{soak.kills} workers killed, {soak.hangs} hung, {soak.outages} outages of storage with"
        f" {ledger.refused} submissions refused, {len(ledger.cancelled)} jobs cancelled,"
        f" {len(ledger.deleted)} deleted; load {os.getloadavg()[0]:.1f}"
    )
    for answer, count in ledger.odd.items():
        print(f"odd, {count} times: {answer[:300]}")
    print("| " + " | ".join(account) + " |")
    print("| " + " | ".join("---" for _ in account) + " |")
    print("| " + " | ".join(str(count) for count in account.values()) + " |")
    for name, taken in (("submit", ledger.submit_s), ("status", ledger.status_s)):
        print(f"{name}: p50 {_percentile(taken, 50):.1f} ms, p99 {_percentile(taken, 99):.1f} ms")
    warm = soak.samples[int(len(soak.samples) * WARM_UP) :]
    slope, error = _slope(warm)
    print(
        f"web process: {warm[0][1]:.1f} MB when warm, {warm[-1][1]:.1f} MB at the end,"
        f" {slope:+.2f} MB an hour (standard error {error:.2f}, {len(warm)} samples;"
        f" under {SLOPE_MB_H:g} wanted: {'reached' if slope < SLOPE_MB_H else 'MISSED'});"
        f" {warm[0][2]} file descriptors when warm, {warm[-1][2]} at the end"
    )
    half = len(warm) // 2
    slopes = [_slope(part)[0] for part in (warm[:half], warm[half:])]
    print("in the first half of that time {:+.2f} MB an hour, in the last {:+.2f}".format(*slopes))
    first, last = (max(sample[3] for sample in part) for part in (warm[:half], warm[half:]))
    print(f"workers together, at most: {first:.0f} MB in the first half, {last:.0f} MB in the last")


def main() -> int:
    """Print the account; returns 0 when all of it is 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    options = {"worker_concurrency": arguments.workers, "log_level": "error"}
    # Else a job that is in a killed worker three times by chance is blamed for it.
    options["max_stage_attempts"] = 20
    with tempfile.TemporaryDirectory() as folder:
        prefix = UNPRIVILEGED if os.geteuid() == 0 else ()
        gateway = GatewayProcess(Path(folder), options, prefix=prefix).start()
        try:
            account = asyncio.run(_soak(gateway, arguments))
        finally:
            gateway.stop()
    return 1 if any(account.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
