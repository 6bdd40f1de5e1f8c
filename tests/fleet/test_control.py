"""Jobs are sent, followed and stored through either kind of database."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from standardwebhooks import Webhook

from artscraper_gateway.tests.gateway_process import REPOSITORY, until
from artscraper_gateway.tests.webhook_receiver import webhook_receiver
from tests.fleet.fleet import Fleet

LIGHT = {"include_protection": "no", "include_hash_analysis": "no", "stages": ""}
StartFleet = Callable[..., Fleet]
Picture = Callable[..., bytes]


def add_key(fleet: Fleet, *arguments: str) -> list[str]:
    """Return the words that `keys add` prints."""
    where = [f"--base-dir={fleet.web.base_dir}"]
    if url := fleet.options.get("database_url"):
        where.append(f"--database-url={url}")
    done = subprocess.run(
        [sys.executable, "-m", "artscraper_gateway", "keys", "add", *arguments, *where],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.split()


def test_jobs_are_controlled_through_the_database(
    start_fleet: StartFleet, database: dict[str, Any], picture: Picture
) -> None:
    fleet = start_fleet({**database, "allow_private_addresses": "yes"})
    words = add_key(fleet, "ada", "--rate", "1000000/min", "--max-queued", "60")
    token = next(word for word in words if word.startswith("ask_"))
    secret = next(word for word in words if word.startswith("whsec_"))
    content = picture()
    headers = {"Authorization": f"Bearer {token}"}
    with fleet.web.client(headers=headers) as client, webhook_receiver() as receiver:

        def send(key: str, **fields: str) -> dict[str, Any]:
            answer = client.post(
                "/v1/jobs",
                files={"file": content},
                data={**LIGHT, **fields},
                headers={"Idempotency-Key": key},
            )
            assert answer.status_code == 200, answer.text
            job: dict[str, Any] = answer.json()
            return job

        with ThreadPoolExecutor(8) as pool:  # at the same moment
            ids = {job["job_id"] for job in pool.map(send, ["once"] * 16)}
        assert len(ids) == 1
        (first,) = ids
        told = send("told", callback_url=receiver.url)
        sooner = send("sooner", priority="50")
        assert (told["queue_position"], sooner["queue_position"]) == (2, 1)
        assert client.get(f"/v1/jobs/{first}").json()["queue_position"] == 2
        assert client.post(f"/v1/jobs/{first}/cancel").json()["error_code"] == "cancelled"
        files = [("file", content)] * 50
        batch = client.post("/v1/batches", files=files, data=LIGHT).json()
        assert len(batch["jobs"]) == 50
        pages, page = [], client.get("/v1/jobs", params={"page_size": 20}).json()
        while page["next_page_token"]:
            pages += page["jobs"]
            params = {"page_size": 20, "page_token": page["next_page_token"]}
            page = client.get("/v1/jobs", params=params).json()
        assert len({job["job_id"] for job in pages + page["jobs"]}) == 53
        with client.stream("GET", f"/v1/jobs/{told['job_id']}/events") as stream:
            fleet.ready_worker(0)
            names = [line for line in stream.iter_lines() if line.startswith("event: ")]
        assert names == ["event: snapshot", "event: stage", "event: done"]
        until(lambda: receiver.received, what="the webhook arrives")
        (received,) = receiver.received
        assert Webhook(secret).verify(received.body, received.headers)["type"] == "job.done"
        url = f"/v1/jobs/{told['job_id']}/deliveries"
        until(
            lambda: client.get(url).json()["deliveries"][0]["status"] == "delivered",
            what="its delivery is recorded",
        )
        batch_url = f"/v1/batches/{batch['batch_id']}"
        until(lambda: client.get(batch_url).json()["counts"]["done"] == 50, what="the batch ends")
        answer = client.get("/v1/jobs", params={"status": "error"})
        assert [job["job_id"] for job in answer.json()["jobs"]] == [first]
        assert answer.headers["ratelimit-policy"] == '"key";q=1000000;w=60'
        for job_id in (first, told["job_id"], sooner["job_id"]):
            assert client.delete(f"/v1/jobs/{job_id}").status_code == 200
        assert len(client.get("/v1/jobs", params={"page_size": 100}).json()["jobs"]) == 50


def test_ids_with_nul_are_not_found(
    start_fleet: StartFleet, database: dict[str, Any], picture: Picture
) -> None:
    fleet = start_fleet(database)
    with fleet.web.client() as client:
        job_id = client.post("/v1/jobs", files={"file": picture(64, 64)}).json()["job_id"]
        for path in ("jobs/%00", "jobs/%00/events", "jobs/a%00/layers/x", "batches/%00"):
            assert client.get(f"/v1/{path}").status_code == 404, path
        assert "deleted" in client.get("/v1/events?job=%00").text
        resend = client.post(f"/v1/jobs/{job_id}/deliveries/%00/resend")
        assert (resend.status_code, resend.json()["code"]) == (404, "not-found")
