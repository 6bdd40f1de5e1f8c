"""Cancel and delete, whatever the job is doing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import sqlalchemy as sa

from artscraper_gateway.tests.gateway_process import GatewayProcess, freeze, until
from artscraper_gateway.tests.stages_for_tests.stages_that_misbehave import GATE_WIDTH
from artscraper_gateway.tests.support.in_process import InProcessGateway
from artscraper_gateway.tests.test_contract import LIGHT, submit
from artscraper_gateway.tests.test_durability import ended, entered, send

Start = Callable[..., GatewayProcess]
Picture = Callable[..., bytes]
TRIES = 50


def rows(gateway: InProcessGateway, query: str) -> list[tuple[object, ...]]:
    engine = sa.create_engine(f"sqlite:///{gateway.base_dir}/gateway.sqlite3")
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(sa.text(query))]
    engine.dispose()
    return found


def test_queued_job_is_cancelled_at_once(start_app: Start, picture: Picture) -> None:
    gateway = start_app(worker_concurrency=0)
    with gateway.client() as client:
        job_id = send(client, picture(64, 64))
        for _ in range(2):
            job = client.post(f"/v1/jobs/{job_id}/cancel")
            assert job.status_code == 200
            assert (job.json()["status"], job.json()["error_code"]) == ("error", "cancelled")
        answer = client.get(f"/v1/jobs/{job_id}/result")
        assert (answer.status_code, answer.json()["code"]) == (409, "job-failed")
        assert "cancelled" in answer.json()["detail"]
    gateway.stop()
    gateway.options["worker_concurrency"] = 1
    gateway.start()
    with gateway.client() as client:
        follower = submit(client, picture(64, 64), **LIGHT)
        assert follower["status"] == "done"
        assert client.get(f"/v1/jobs/{job_id}").json()["stage"] is None, "it ran all the same"


def test_running_job_is_cancelled_at_next_iteration(start_gateway: Start, picture: Picture) -> None:
    gateway = start_gateway(with_stages_for_tests=True)
    steps = gateway.home / "steps"
    with gateway.client() as client:
        job_id = send(client, picture(64, 64), stages="endless")
        until(lambda: steps.exists() and len(steps.read_text()) > 9, what="the engine iterates")
        job = client.post(f"/v1/jobs/{job_id}/cancel").json()
        assert job["error_code"] == "cancelled" and job["progress"] < 1
        query = f"select worker from jobs where id = '{job_id}'"
        until(lambda: rows(gateway, query) == [(None,)], what="its worker lets go")
        assert steps.read_text().strip(".") == "!", "it took a step after it had seen the wish"
        assert client.get(f"/v1/jobs/{job_id}").json() == job, "progress came after the cancel"
        assert not (gateway.base_dir / job_id / "work").exists()
        assert not list((gateway.outputs / job_id / "layers").glob("*endless/*"))
        assert submit(client, picture(64, 64), **LIGHT)["status"] == "done"
        assert client.delete(f"/v1/jobs/{job_id}").status_code == 200
        assert not (gateway.outputs / job_id).exists()


def test_cancelling_an_ended_job_changes_nothing(client: httpx.Client, picture: Picture) -> None:
    job = submit(client, picture(64, 64), **LIGHT)
    assert client.post(f"/v1/jobs/{job['job_id']}/cancel").json()["status"] == "done"
    assert client.post(f"/v1/jobs/{'0' * 32}/cancel").status_code == 404


def test_cancelled_job_of_dead_worker_can_be_deleted(
    start_gateway: Start, picture: Picture
) -> None:
    gateway = start_gateway(with_stages_for_tests=True)
    with gateway.client() as client:
        job_id = send(client, picture(GATE_WIDTH))
        entered(gateway)
        for worker in gateway.workers():
            freeze(worker, gateway.base_dir / "gateway.sqlite3")  # with the job in its hands
        client.post(f"/v1/jobs/{job_id}/cancel")
        gateway.kill_worker()
        assert client.delete(f"/v1/jobs/{job_id}").status_code == 200
        assert not (gateway.base_dir / job_id).exists()
        follower = send(client, picture(64, 64))
    assert ended(gateway, follower)["status"] == "done"


def test_deletion_at_random_moments_leaves_no_file_and_no_row(
    start_gateway: Start, picture: Picture
) -> None:
    gateway = start_gateway(worker_concurrency=2)
    until(lambda: gateway.log().count(" is ready as ") == 2, what="both workers are ready")
    moments = random.Random(20)
    kinds: list[dict[str, str]] = [
        LIGHT,
        {"stages": "invisible-watermark"},
        {"stages": "photoguard", "include_hash_analysis": "no"},
    ]
    content = picture(200, 160)

    def once(number: int, delay_s: float) -> str:
        with gateway.client() as client:
            answer = client.post("/v1/jobs", files={"file": content}, data=kinds[number % 3])
            job_id: str = answer.json()["job_id"]
            time.sleep(delay_s)  # the moment is what is tried
            seen: str = client.get(f"/v1/jobs/{job_id}").json()["status"]
            assert client.delete(f"/v1/jobs/{job_id}").status_code == 200
            assert client.get(f"/v1/jobs/{job_id}").status_code == 404
            assert not (gateway.base_dir / job_id).exists()
            assert not (gateway.outputs / job_id).exists()
            return seen

    delays = [moments.random() ** 2 * 1.5 for _ in range(TRIES)]
    with ThreadPoolExecutor(3) as pool:
        seen = list(pool.map(once, range(TRIES), delays))
    assert {"running", "done"} < set(seen), "the moments were all alike"
    until(
        lambda: not rows(gateway, "select 1 from jobs"),
        what="no job is left",
    )
    assert rows(gateway, "select * from events") == []
    for table in ("workflow_status", "operation_outputs"):  # the queue's; retention may run, too
        of_jobs = f"select * from {table} where workflow_uuid not like 'sched-%'"
        assert rows(gateway, of_jobs) == [], table
    left = [path for path in gateway.outputs.rglob("*") if path.name != ".running"]
    assert left == []
    assert not [path for path in gateway.base_dir.iterdir() if len(path.name) == 32]
