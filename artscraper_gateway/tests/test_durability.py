"""kill -9 at any stage: no accepted job is lost, finished stages are not run again."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from artscraper_gateway.tests.gateway_process import REPOSITORY, GatewayProcess, until
from artscraper_gateway.tests.stages_for_tests.stages_that_misbehave import (
    BROKEN_WIDTH,
    DEADLY_WIDTH,
    GATE_WIDTH,
)

Start = Callable[..., GatewayProcess]
Picture = Callable[..., bytes]


QUICK = {"stages": "invisible-watermark"}


@pytest.fixture
def gated(start_gateway: Start) -> GatewayProcess:
    """A gateway whose `gate` stage holds pictures of GATE_WIDTH until the test opens it."""
    return start_gateway(with_stages_for_tests=True, drain_timeout=2)


def send(client: httpx.Client, content: bytes, **fields: str) -> str:
    """Submit a job of quick stages; where the stages for tests are registered, of those too."""
    data = {"stages": "invisible-watermark,gate,deadly,broken", **fields}
    answer = client.post("/v1/jobs", files={"file": content}, data=data)
    if answer.status_code == 422:
        answer = client.post("/v1/jobs", files={"file": content}, data=fields | QUICK)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["job_id"])


def ended(gateway: GatewayProcess, job_id: str) -> dict[str, Any]:
    with gateway.client() as client:

        def state() -> dict[str, Any] | None:
            job = client.get(f"/v1/jobs/{job_id}").json()
            return job if job["status"] in ("done", "error") else None

        return until(state, what=f"job {job_id} ends")


def entered(gateway: GatewayProcess, times: int = 1) -> None:
    mark = gateway.home / "gate-entered"
    until(lambda: mark.exists() and len(mark.read_text()) >= times, what="the gate is entered")


def open_gate(gateway: GatewayProcess) -> None:
    (gateway.home / "gate-open").touch()


def assert_whole(gateway: GatewayProcess, job_id: str) -> None:
    output = gateway.outputs / job_id
    summary = json.loads((output / "summary.json").read_text())
    assert [layer["stage"] for layer in summary["layers"]][:2] == [
        "original",
        "invisible-watermark",
    ]
    for layer in summary["layers"]:
        assert Path(layer["path"]).stat().st_size > 0
    assert not [path for path in output.rglob("*") if path.name.startswith(".")], "half a file"
    assert not (gateway.outputs / ".running" / job_id).exists()


@pytest.mark.parametrize("victim", ["worker", "web", "both"])
def test_job_resumes_after_the_last_finished_stage(
    gated: GatewayProcess, picture: Picture, victim: str
) -> None:
    with gated.client() as client:
        job_id = send(client, picture(GATE_WIDTH))
        waiting = [send(client, picture(64 + n, 64)) for n in range(3)]
    entered(gated)
    finished = (
        "layers/00-original/image.png",
        "layers/01-invisible-watermark/image.png",
        "analysis.json",
    )
    assert not (gated.outputs / job_id).exists(), "results are seen whole or not at all"
    (running,) = (gated.outputs / ".running" / job_id).iterdir()
    before = [(running / "output" / name).stat().st_mtime_ns for name in finished]
    if victim == "worker":
        gated.kill_worker()
    else:
        gated.kill(workers=victim == "both")
        gated.start()
    entered(gated, times=2)
    open_gate(gated)
    for each in [job_id, *waiting]:
        assert ended(gated, each)["status"] == "done"
        assert_whole(gated, each)
    output = gated.outputs / job_id
    assert [(output / name).stat().st_mtime_ns for name in finished] == before


@pytest.mark.parametrize("stage", ["photoguard", "mist", "invisible-watermark"])
def test_kill_during_a_stage_is_recovered(
    start_gateway: Start, picture: Picture, stage: str
) -> None:
    """Wherever in the stage it strikes: nothing holds the worker there."""
    gateway = start_gateway()
    with gateway.client() as client:
        stages = "photoguard,mist,invisible-watermark"
        job_id = send(client, picture(900, 800), stages=stages)

        def is_there() -> bool:
            job = client.get(f"/v1/jobs/{job_id}").json()
            assert job["status"] in ("queued", "running"), "the job ended before it was struck"
            return bool(job["stage"] == stage)

        until(is_there, what=f"the job is in {stage}")
    gateway.kill_worker()
    assert ended(gateway, job_id)["status"] == "done"
    output = gateway.outputs / job_id
    layers = json.loads((output / "summary.json").read_text())["layers"]
    assert [layer["stage"] for layer in layers] == ["original", *stages.split(",")]
    assert all(Path(layer["path"]).stat().st_size > 0 for layer in layers)
    assert not [path for path in output.rglob("*") if path.name.startswith(".")], "half a file"


def test_job_accepted_without_worker_runs_at_next_start(
    start_gateway: Start, picture: Picture
) -> None:
    gateway = start_gateway(worker_concurrency=0)
    with gateway.client() as client:
        ids = [send(client, picture(64, 64)) for _ in range(5)]
    gateway.kill()
    gateway.options["worker_concurrency"] = 2
    gateway.start()
    assert [ended(gateway, job_id)["status"] for job_id in ids] == ["done"] * 5


def test_job_fails_after_three_worker_deaths(gated: GatewayProcess, picture: Picture) -> None:
    with gated.client() as client:
        before = send(client, picture(64, 64))
        deadly = send(client, picture(DEADLY_WIDTH))
        after = send(client, picture(65, 64))
        nothing = {"include_protection": "0", "include_hash_analysis": "0", "stages": ""}
        light = send(client, picture(66), **nothing)
    job = ended(gated, deadly)
    assert job["status"] == "error"
    assert "deadly" in job["error"] and "3 times" in job["error"]
    assert {ended(gated, each)["status"] for each in (before, after, light)} == {"done"}
    with gated.client() as client:
        answer = client.get(f"/v1/jobs/{deadly}/result")
        assert answer.status_code == 409
        assert answer.json()["code"] == "job-failed"
        assert "deadly" in answer.json()["detail"]


def test_failing_stage_is_named_without_server_path(
    gated: GatewayProcess, picture: Picture
) -> None:
    with gated.client() as client:
        job_id = send(client, picture(BROKEN_WIDTH))
    job = ended(gated, job_id)
    assert job["status"] == "error"
    assert "broken" in job["error"]
    assert "secret" not in job["error"]


def test_sigterm_leaves_long_jobs_for_next_start(gated: GatewayProcess, picture: Picture) -> None:
    with gated.client() as client:
        job_id = send(client, picture(GATE_WIDTH))
        entered(gated)
        # As often as would be blamed on the job if its worker had died.
        for times in range(2, 6):
            assert gated.stop() < 15  # drain_timeout is 2 s here
            gated.start()
            entered(gated, times=times)
    open_gate(gated)
    assert ended(gated, job_id)["status"] == "done"


def test_sigterm_lets_a_running_job_finish(start_gateway: Start, picture: Picture) -> None:
    gateway = start_gateway(with_stages_for_tests=True)
    with gateway.client() as client:
        job_id = send(client, picture(GATE_WIDTH))
        entered(gateway)
        open_gate(gateway)
    gateway.stop()
    with sqlite3.connect(gateway.base_dir / "gateway.sqlite3") as database:
        query = "select status from jobs where id = ?"
        (status,) = database.execute(query, (job_id,)).fetchone()
    database.close()
    assert status == "done"


def test_deleting_a_running_job_cancels_it_and_leaves_no_file(
    gated: GatewayProcess, picture: Picture
) -> None:
    with gated.client() as client:
        job_id = send(client, picture(GATE_WIDTH))
        entered(gated)
        assert client.delete(f"/v1/jobs/{job_id}").status_code == 200
        assert client.get(f"/v1/jobs/{job_id}").status_code == 404
        assert not (gated.outputs / job_id).exists()
        assert not (gated.base_dir / job_id).exists()
        follower = send(client, picture(64, 64))
    assert ended(gated, follower)["status"] == "done"
    assert not (gated.outputs / job_id).exists()
    gated.stop()  # all that is to be logged stands there then
    assert "Traceback" not in gated.log()


def test_job_without_workflow_is_deleted(gated: GatewayProcess, picture: Picture) -> None:
    with gated.client() as client:
        job_id = send(client, picture(GATE_WIDTH))
        entered(gated)
        with sqlite3.connect(gated.base_dir / "gateway.sqlite3") as database:
            removed = database.execute(
                "delete from workflow_status where workflow_uuid = ?", (job_id,)
            )
        database.close()
        assert removed.rowcount == 1
        assert client.delete(f"/v1/jobs/{job_id}").status_code == 200
    gated.stop()
    assert "recorded outcome" in gated.log() and "Traceback" not in gated.log()


def test_interrupted_deletion_is_finished_at_next_start(
    start_gateway: Start, picture: Picture
) -> None:
    gateway = start_gateway(worker_concurrency=0)
    with gateway.client() as client:
        job_id = send(client, picture(64, 64))
    gateway.kill()
    with sqlite3.connect(gateway.base_dir / "gateway.sqlite3") as database:
        database.execute("update jobs set status = 'deleting' where id = ?", (job_id,))
    database.close()
    gateway.start()
    until(lambda: not (gateway.base_dir / job_id).exists(), what="its folder is removed")
    with gateway.client() as client:
        assert client.get(f"/v1/jobs/{job_id}").status_code == 404


def test_database_uses_write_ahead_log(gateway: GatewayProcess) -> None:
    with sqlite3.connect(gateway.base_dir / "gateway.sqlite3") as database:
        (mode,) = database.execute("pragma journal_mode").fetchone()
    database.close()
    assert mode == "wal"


def test_workers_end_when_the_web_process_is_killed(start_gateway: Start, picture: Picture) -> None:
    gateway = start_gateway(worker_concurrency=2)
    until(lambda: "slot-0 is ready" in gateway.log(), what="a worker is ready")
    workers = gateway.workers()
    assert len(workers) == 2
    gateway.kill(workers=False)  # waits for the workers to end by themselves
    assert not any(worker.is_running() for worker in workers)


def test_two_gateways_on_one_folder_share_one_set_of_workers(
    start_gateway: Start, picture: Picture
) -> None:
    first, second = start_gateway(), start_gateway()
    until(lambda: first.workers() or second.workers(), what="a worker is started")
    with second.client() as client:
        job_id = send(client, picture(64, 64))
    assert ended(first, job_id)["status"] == "done"
    assert len(first.workers()) + len(second.workers()) == 1


def test_reducing_workers_loses_no_job(start_gateway: Start, picture: Picture) -> None:
    """The jobs of an empty slot are taken over by other workers."""
    gateway = start_gateway(with_stages_for_tests=True, worker_concurrency=2, drain_timeout=2)
    with gateway.client() as client:
        ids = [send(client, picture(GATE_WIDTH)) for _ in range(2)]
    entered(gateway, times=2)
    gateway.kill()
    gateway.options["worker_concurrency"] = 1
    open_gate(gateway)
    gateway.start()
    assert [ended(gateway, job_id)["status"] for job_id in ids] == ["done", "done"]


def test_unsupervised_worker_takes_a_free_slot(start_gateway: Start, picture: Picture) -> None:
    gateway = start_gateway()
    until(lambda: "slot-0 is ready" in gateway.log(), what="the gateway's worker is ready")
    command = [sys.executable, "-m", "artscraper_gateway", "worker"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    taken = subprocess.run(
        [*command, "--slot=0"],
        check=False,
        capture_output=True,
        text=True,
        cwd=gateway.home,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    assert taken.returncode == 2 and "taken" in taken.stderr
    with (gateway.home / "other.log").open("w") as log:
        other = subprocess.Popen(
            [*command, "--slot=7"],
            cwd=gateway.home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
    until(lambda: "slot-7 is ready" in (gateway.home / "other.log").read_text(), what="it runs")
    other.terminate()
    assert other.wait(timeout=60) == 0
