"""No more jobs wait than may, however many come at one moment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.errors import QueueFull
from artscraper_gateway.jobs.models import NewJob
from artscraper_gateway.jobs.queue import JobQueue, QueueQuota
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.jobs.request import JobRequest
from artscraper_gateway.settings.model import GatewayConfig

REQUEST = JobRequest()
MAY_WAIT, AT_ONCE = 5, 16


@pytest.mark.parametrize("of_key", [False, True], ids=["all keys", "key"])
def test_queue_limit_holds_for_concurrent_submissions(
    tmp_path: Path, database: dict[str, Any], of_key: bool
) -> None:
    engines = [open_engine(GatewayConfig(base_dir=tmp_path, **database)) for _ in range(2)]
    queues = [JobQueue(JobStore(engine)) for engine in engines]  # of two web processes
    together = threading.Barrier(AT_ONCE)

    def submit(number: int, owner: str) -> bool:
        limit: dict[str, Any] = {"owner_max_queued" if of_key else "max_queued": MAY_WAIT}
        new = NewJob(uuid4().hex, "image.png", REQUEST, "passthrough", owner=owner)
        together.wait(30)
        try:
            queues[number % 2].submit(new, QueueQuota(owner, **limit))
        except QueueFull:
            return False
        return True

    try:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for owner in ("ada", "bob", "cleo") if of_key else ("ada",):
                accepted = list(threads.map(submit, range(AT_ONCE), [owner] * AT_ONCE))
                assert sum(accepted) == MAY_WAIT
    finally:
        for queue, engine in zip(queues, engines, strict=True):
            queue.close()
            engine.dispose()
