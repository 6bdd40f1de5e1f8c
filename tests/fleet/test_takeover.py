"""A worker that dies, freezes or leaves: its jobs go on elsewhere, and it changes nothing more."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import until
from artscraper_gateway.tests.stages_for_tests.stages_that_misbehave import GATE_WIDTH
from tests.fleet.fleet import Fleet, Worker, files_of
from tests.fleet.servers import PostgresServer

Start = Callable[..., Fleet]
Picture = Callable[..., bytes]
# The default is eight looks one second apart, and at most two seconds until the jobs are put back:
# 12 s, of which 15 are promised. A busy machine may take longer; what never comes fails as well.
WITHIN_S = 40


def frozen_in_mid_job(fleet: Fleet, picture: Picture) -> tuple[str, Worker]:
    worker = fleet.ready_worker(0)
    job_id = fleet.submit(picture(GATE_WIDTH))
    fleet.entered()
    worker.freeze()
    return job_id, worker


def test_dead_worker_is_replaced_by_others(
    start_fleet: Start, database: dict[str, Any], picture: Picture
) -> None:
    """At the default settings, and from the last finished stage on."""
    default = GatewayConfig.model_fields["worker_timeout"].default
    fleet = start_fleet({**database, "worker_timeout": default})
    first = fleet.ready_worker(0)
    job_id = fleet.submit(picture(GATE_WIDTH))
    fleet.entered()
    (folder,) = (fleet.web.outputs / ".running" / job_id).iterdir()
    finished = ("layers/00-original/image.png", "layers/01-invisible-watermark/image.png")
    before = [(folder / "output" / name).stat().st_mtime_ns for name in finished]
    fleet.ready_worker(1)
    first.kill()
    fleet.entered(times=2, timeout_s=WITHIN_S)
    fleet.open_gate()
    assert fleet.ended(job_id)["status"] == "done"
    output = fleet.web.outputs / job_id
    assert [(output / name).stat().st_mtime_ns for name in finished] == before


def test_frozen_worker_changes_nothing_after_takeover(
    start_fleet: Start, database: dict[str, Any], picture: Picture
) -> None:
    fleet = start_fleet({**database, "worker_timeout": 2})
    job_id, frozen = frozen_in_mid_job(fleet, picture)
    fleet.ready_worker(1)
    fleet.entered(times=2)
    fleet.open_gate()
    assert fleet.ended(job_id)["status"] == "done"
    seen = files_of(fleet.web.outputs)
    frozen.send(signal.SIGCONT)
    assert frozen.process.wait(timeout=30) == 1
    assert "was expired" in frozen.log_path.read_text()
    assert files_of(fleet.web.outputs) == seen
    assert fleet.job(job_id)["status"] == "done"


def test_frozen_worker_that_wakes_early_does_not_end_the_job(
    start_fleet: Start, database: dict[str, Any], picture: Picture
) -> None:
    """It finishes its stage and is refused; the result is the other worker's."""
    fleet = start_fleet({**database, "worker_timeout": 2})
    job_id, frozen = frozen_in_mid_job(fleet, picture)
    other = fleet.ready_worker(1)
    fleet.entered(times=2)
    other.freeze()
    fleet.open_gate()
    frozen.send(signal.SIGCONT)
    assert frozen.process.wait(timeout=30) == 1
    assert fleet.job(job_id)["status"] == "running"
    assert not (fleet.web.outputs / job_id).exists()
    other.send(signal.SIGCONT)
    assert fleet.ended(job_id)["status"] == "done"


def test_rolling_restart_loses_no_job(
    start_fleet: Start, postgres: PostgresServer, picture: Picture
) -> None:
    fleet = start_fleet({"database_url": postgres.new_database(), "drain_timeout": 1})
    for slot in (0, 1):
        fleet.ready_worker(slot)
    ids = [fleet.submit(picture(64 + n)) for n in range(6)]
    ids.append(fleet.submit(picture(GATE_WIDTH)))
    fleet.entered()
    ids += [fleet.submit(picture(80 + n)) for n in range(6)]
    for slot in (0, 1):
        leaving = fleet.workers[slot]
        leaving.send(signal.SIGTERM)
        assert leaving.process.wait(timeout=30) == 0, leaving.log_path.read_text()
        fleet.ready_worker(slot)
    fleet.web.stop()
    fleet.web.start()
    fleet.open_gate()
    assert {fleet.ended(job_id)["status"] for job_id in ids} == {"done"}
    for job_id in ids:
        assert (fleet.web.outputs / job_id / "summary.json").exists()


def test_worker_command_supervises_several_slots(
    start_fleet: Start, postgres: PostgresServer, picture: Picture
) -> None:
    fleet = start_fleet({"database_url": postgres.new_database()})
    two, one = fleet.supervisor("two", concurrency=2), fleet.supervisor("one", concurrency=1)
    until(
        lambda: two.ready() + one.ready() == 3,
        what=lambda: f"three workers: {two.log()} {one.log()}",
    )
    assert fleet.ended(fleet.submit(picture()))["status"] == "done"
    for supervisor in (two, one):
        supervisor.process.terminate()
        assert supervisor.process.wait(timeout=60) == 0


def test_encoder_jobs_wait_for_suitable_workers(
    start_fleet: Start, postgres: PostgresServer, picture: Picture
) -> None:
    fleet = start_fleet({"database_url": postgres.new_database(), "gpu_queue": "yes"})
    attacked = fleet.submit(picture(), stages="photoguard")
    plain = fleet.submit(picture())
    fleet.options["queues"] = "cpu"
    fleet.ready_worker(0)
    assert fleet.ended(plain)["status"] == "done"
    assert fleet.job(attacked)["status"] == "queued"
    fleet.options["queues"] = "gpu"
    fleet.ready_worker(1)
    assert fleet.ended(attacked)["status"] == "done"
    assert fleet.web.outputs.joinpath(attacked, "layers", "01-photoguard").exists()
