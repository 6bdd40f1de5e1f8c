"""kill -9 at every boundary of a stage, and at random moments: nothing is lost or seen twice."""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from artscraper_gateway.tests.gateway_process import until
from artscraper_gateway.tests.stages_for_tests.boundaries import BOUNDARIES
from tests.fleet.fleet import Fleet, files_of

Start = Callable[..., Fleet]
Picture = Callable[..., bytes]
WORKERS = 3
RANDOM_KILLS = (30, pytest.param(100, marks=pytest.mark.slow))  # on each kind of database
LIGHT = {"include_protection": "0", "include_hash_analysis": "0", "stages": ""}
# Blame is another test's subject: here a job may lose as many workers as chance wants.
PATIENT = {"max_stage_attempts": 20, "worker_timeout": 2}


def assert_whole(
    fleet: Fleet,
    job_id: str,
    *,
    stages: Sequence[str] = ("original", "invisible-watermark", "gate"),
) -> None:
    job, output = fleet.job(job_id), fleet.web.outputs / job_id
    assert job["status"] == "done", f"{job['error']}: {fleet.logs()}"
    layers = json.loads((output / "summary.json").read_text())["layers"]
    assert [layer["stage"] for layer in layers] == list(stages)
    for layer in layers:
        assert Path(layer["path"]).stat().st_size > 0
        assert Path(layer["path"]).is_relative_to(output)
    names = files_of(output)
    assert not [name for name in names if Path(name).name.startswith(".")], "half a file"
    assert len([name for name in names if name.startswith("layers/")]) == len(stages)
    assert not (fleet.web.outputs / ".running" / job_id).exists()


def test_kill_at_every_boundary(
    start_fleet: Start, database: dict[str, Any], picture: Picture
) -> None:
    """Workers kill themselves, once at each, and others take their places."""
    fleet = start_fleet({**database, **PATIENT})
    fleet.environment["DIE_AT_EACH_BOUNDARY"] = "1"
    slots = (0, 1)
    for slot in slots:
        fleet.start_worker(slot)
    died = fleet.home / "boundaries"
    job_id = fleet.submit(picture(), stages="invisible-watermark", include_hash_analysis="0")

    def all_died() -> bool:
        for slot in slots:
            if fleet.workers[slot].process.poll() is not None:
                fleet.start_worker(slot)
        return died.exists() and len(died.read_text().split()) == len(BOUNDARIES)

    until(all_died, what=lambda: f"every boundary is died at: {fleet.logs()}")
    assert died.read_text().split() == list(BOUNDARIES)
    assert_whole(fleet, job_id, stages=["original", "invisible-watermark"])


@pytest.mark.parametrize("kills", RANDOM_KILLS)
def test_kill_at_random_moments(
    start_fleet: Start, database: dict[str, Any], picture: Picture, kills: int
) -> None:
    chance = random.Random(f"moments {sorted(database)}")
    fleet = start_fleet({**database, **PATIENT})
    fleet.replaces_dead = True
    for slot in range(1, 1 + WORKERS):
        fleet.start_worker(slot)
    ids = [fleet.submit(picture(64 + chance.randrange(600))) for _ in range(8)]
    light = [fleet.submit(picture(), **LIGHT) for _ in range(8)]
    seen: dict[str, Any] = {}
    for kill in range(kills):
        if kill == kills // 2:  # results that the later kills must not touch
            fleet.ended(ids[0], timeout_s=120)
        slot = until(lambda: _at_work(fleet, ids, picture), what="a worker is at work")
        time.sleep(chance.uniform(0, 0.5))  # the moment
        fleet.workers[slot].kill()
        fleet.start_worker(slot)
        ids.append(fleet.submit(picture(64 + chance.randrange(600))))
        light += [fleet.submit(picture(), **LIGHT) for _ in range(3)]
        seen |= _seen_done(fleet, [each for each in ids if each not in seen])
    for job_id in ids:
        fleet.ended(job_id, timeout_s=120)
        until(lambda: not (fleet.web.outputs / ".running" / job_id).exists(), what="it is tidy")  # noqa: B023
        assert_whole(fleet, job_id)
    for job_id in light:
        fleet.ended(job_id)
        assert_whole(fleet, job_id, stages=["original"])
    assert ids[0] in seen
    for job_id, files in seen.items():
        assert files_of(fleet.web.outputs / job_id) == files, "a result that was seen has changed"


def _at_work(fleet: Fleet, ids: list[str], picture: Picture) -> int | None:
    """Return the slot of a worker that has begun a job since it was started, if there is one.

    There is always a worker in each slot, and a job to be begun.
    """
    fleet.replace_dead()
    if fleet.job(ids[-1])["status"] == "done":
        ids.append(fleet.submit(picture(64)))
    running = fleet.web.outputs / ".running"  # where folders go while they are looked at
    begun = {name for _, names, _ in os.walk(running) for name in names}
    for slot, worker in fleet.workers.items():
        started = re.search(r"is ready as (\S+)", worker.log_path.read_text())
        if started and started[1] in begun:
            return slot
    return None


def _seen_done(fleet: Fleet, ids: list[str]) -> dict[str, Any]:
    return {
        job_id: files_of(fleet.web.outputs / job_id)
        for job_id in ids
        if fleet.job(job_id)["status"] == "done"
    }
