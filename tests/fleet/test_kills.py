"""kill -9 at every boundary of a stage, and at random moments: nothing is lost or seen twice."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artscraper_gateway.tests.gateway_process import until
from artscraper_gateway.tests.stages_for_tests.boundaries import BOUNDARIES
from tests.fleet.fleet import Fleet, files_of

Start = Callable[..., Fleet]
Picture = Callable[..., bytes]
WORKERS = 3
RANDOM_KILLS = 16  # on each kind of database
# Blame is another test's subject: here a job may lose as many workers as chance wants.
PATIENT = {"max_stage_attempts": 20, "worker_timeout": 2}


def assert_whole(fleet: Fleet, job_id: str) -> None:
    job, output = fleet.job(job_id), fleet.web.outputs / job_id
    assert job["status"] == "done", job["error"]
    layers = json.loads((output / "summary.json").read_text())["layers"]
    assert [layer["stage"] for layer in layers] == ["original", "invisible-watermark", "gate"]
    for layer in layers:
        assert Path(layer["path"]).stat().st_size > 0
        assert Path(layer["path"]).is_relative_to(output)
    names = files_of(output)
    assert not [name for name in names if Path(name).name.startswith(".")], "half a file"
    assert len([name for name in names if name.startswith("layers/")]) == 3
    assert not (fleet.web.outputs / ".running" / job_id).exists()


def test_kill_at_every_boundary(
    start_fleet: Start, database: dict[str, Any], picture: Picture
) -> None:
    """The worker kills itself, once at each; the next one in its slot goes on."""
    fleet = start_fleet({**database, **PATIENT}, {"DIE_AT_EACH_BOUNDARY": "1"})
    supervisor = fleet.supervisor("supervised", concurrency=1)
    try:
        job_id = fleet.submit(picture())
        fleet.ended(job_id, timeout_s=150)
        # The last one is behind the end of the job; another job shows that all goes on.
        died = fleet.home / "boundaries"
        until(lambda: len(died.read_text().split()) == len(BOUNDARIES), what="the last death")
        second = fleet.submit(picture(65))
        fleet.ended(second)
    finally:
        supervisor.process.terminate()
        supervisor.process.wait(timeout=60)
    assert died.read_text().split() == list(BOUNDARIES)
    assert_whole(fleet, job_id)
    assert_whole(fleet, second)


def test_kill_at_random_moments(
    start_fleet: Start, database: dict[str, Any], picture: Picture
) -> None:
    chance = random.Random(f"moments {sorted(database)}")
    fleet = start_fleet({**database, **PATIENT})
    for slot in range(WORKERS):
        fleet.start_worker(slot)
    ids = [fleet.submit(picture(64 + chance.randrange(600))) for _ in range(8)]
    seen: dict[str, Any] = {}
    for _ in range(RANDOM_KILLS):
        ready = until(
            lambda: [worker for worker in fleet.workers.values() if worker.is_ready()],
            what="a worker is ready",
        )
        time.sleep(chance.uniform(0, 0.4))  # the moment
        victim = chance.choice(ready)
        victim.kill()
        fleet.start_worker(victim.slot)
        ids.append(fleet.submit(picture(64 + chance.randrange(600))))
        seen |= _seen_done(fleet, [each for each in ids if each not in seen])
    for job_id in ids:
        fleet.ended(job_id, timeout_s=120)
        until(lambda: not (fleet.web.outputs / ".running" / job_id).exists(), what="it is tidy")  # noqa: B023
        assert_whole(fleet, job_id)
    assert len(seen) > 3, "nothing was done between the kills"
    for job_id, files in seen.items():
        assert files_of(fleet.web.outputs / job_id) == files, "a result that was seen has changed"


def _seen_done(fleet: Fleet, ids: list[str]) -> dict[str, Any]:
    return {
        job_id: files_of(fleet.web.outputs / job_id)
        for job_id in ids
        if fleet.job(job_id)["status"] == "done"
    }


@pytest.mark.parametrize("stage", ["original", "invisible-watermark", "gate", "summary"])
def test_the_boundaries_cover_every_stage(stage: str) -> None:
    assert {f"begun:{stage}", f"made:{stage}", f"recorded:{stage}"} <= set(BOUNDARIES)
