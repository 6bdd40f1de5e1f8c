"""The calls that the page needs besides those that scripts use: limits, masks, retry, events."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import httpx
from PIL import Image

from artscraper_gateway.tests.gateway_process import GatewayProcess
from artscraper_gateway.tests.stages_for_tests.stages_that_misbehave import GATE_WIDTH
from artscraper_gateway.tests.test_contract import LIGHT, submit
from artscraper_gateway.tests.test_durability import entered, open_gate, send
from artscraper_gateway.tests.test_following import messages

Start = Callable[..., GatewayProcess]
Picture = Callable[..., bytes]


def test_limits_match_settings(start_app: Start) -> None:
    gateway = start_app(
        worker_concurrency=0,
        max_upload_bytes=1000,
        max_side=99,
        job_ttl=60,
        strength="low",
        stages="mist",
    )
    with gateway.client() as client:
        limits = client.get("/v1/limits").json()
    assert limits["max_upload_bytes"] == 1000 and limits["max_side"] == 99
    assert limits["job_ttl"] == 60 and limits["max_disk"] is None
    assert limits["strength"] == "low"
    stages = {each["name"]: each for each in limits["stages"]}
    assert stages["mist"] == {"name": "mist", "default": True, "available": True}
    assert stages["photoguard"]["default"] is False
    assert stages["c2pa"] == {"name": "c2pa", "default": False, "available": True}


def test_mask_is_a_grey_picture_of_the_change(client: httpx.Client, picture: Picture) -> None:
    job = submit(client, picture(), stages="invisible-watermark")
    base = f"/v1/jobs/{job['job_id']}/masks"
    mask = client.get(f"{base}/invisible-watermark")
    assert mask.headers["content-type"] == "image/png"
    assert mask.headers["x-content-type-options"] == "nosniff"
    with Image.open(io.BytesIO(mask.content)) as opened:
        assert opened.mode == "L" and opened.size == (320, 280)
        assert opened.getextrema()[1] > 0
    known = {"If-None-Match": mask.headers["etag"]}
    assert client.get(f"{base}/invisible-watermark", headers=known).status_code == 304
    for stage in ("original", "mist", "..%2F..%2Fsummary.json"):
        answer = client.get(f"{base}/{stage}")
        assert answer.status_code == 404, stage
    assert "it has: invisible-watermark" in client.get(f"{base}/mist").json()["detail"]
    assert client.get(f"/v1/jobs/{'0' * 32}/masks/mist").status_code == 404


def test_retry_repeats_the_request(start_app: Start, picture: Picture) -> None:
    gateway = start_app(worker_concurrency=0)
    chosen = {
        "stages": "invisible-watermark,c2pa",
        "strength": "high",
        "seed": "7",
        "priority": "3",
    }
    with gateway.client() as client:
        job_id = send(client, picture(), **chosen)
        early = client.post(f"/v1/jobs/{job_id}/retry")
        assert (early.status_code, early.json()["code"]) == (409, "not-ready")
        client.post(f"/v1/jobs/{job_id}/cancel")
        answer = client.post(f"/v1/jobs/{job_id}/retry")
        again = answer.json()
        assert again["status"] == "queued" and again["job_id"] != job_id
        assert again["priority"] == 3
        assert answer.headers["location"] == f"/v1/jobs/{again['job_id']}"
        assert client.get(f"/v1/jobs/{job_id}").json()["error_code"] == "cancelled"
        assert client.post(f"/v1/jobs/{'0' * 32}/retry").status_code == 404
        client.delete(f"/v1/jobs/{job_id}")
    gateway.stop()
    gateway.options["worker_concurrency"] = 1
    gateway.start()
    with gateway.client() as client:
        done = client.get(f"/v1/jobs/{again['job_id']}", params={"wait": 60}).json()
        assert done["status"] == "done"
        layers = client.get(f"/v1/jobs/{again['job_id']}/result").json()["summary"]["layers"]
        assert [each["stage"] for each in layers[1:]] == ["invisible-watermark", "c2pa"]
        original = client.get(f"/v1/jobs/{again['job_id']}/layers/original")
        assert original.content == picture()


def test_retry_without_protection_runs_no_stage(client: httpx.Client, picture: Picture) -> None:
    job = submit(client, picture(64, 64), **LIGHT)
    again = client.post(f"/v1/jobs/{job['job_id']}/retry").json()
    done = client.get(f"/v1/jobs/{again['job_id']}", params={"wait": 60}).json()
    assert done["status"] == "done"
    layers = client.get(f"/v1/jobs/{again['job_id']}/result").json()["summary"]["layers"]
    assert [each["stage"] for each in layers] == ["original"]


def test_one_stream_follows_many_jobs(start_gateway: Start, picture: Picture) -> None:
    gateway = start_gateway(with_stages_for_tests=True)
    event_list: list[tuple[str, dict[str, Any]]] = []
    with gateway.client() as client:
        held = send(client, picture(GATE_WIDTH, 64), stages="gate")
        entered(gateway)
        waiting = [send(client, picture(64, 64), stages="gate") for _ in range(3)]
        unknown = "0" * 32
        ids = [held, *waiting, unknown]
        with client.stream("GET", "/v1/events", params={"job": ids}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for kind, _, data in messages(answer):
                event_list.append((kind, data))
                if len(event_list) == len(ids):
                    client.delete(f"/v1/jobs/{waiting[0]}")
                if kind == "queue" and data["queue_position"] == 1:
                    open_gate(gateway)
    first = dict(zip(ids, event_list, strict=False))
    assert [first[job_id][0] for job_id in ids] == ["snapshot"] * 4 + ["deleted"]
    assert [first[job_id][1]["queue_position"] for job_id in waiting] == [1, 2, 3]
    assert ("deleted", {"job_id": waiting[0]}) in event_list
    assert ("queue", {"job_id": waiting[1], "queue_position": 1}) in event_list
    ends = [data["job_id"] for kind, data in event_list if kind == "done"]
    assert sorted(ends) == sorted([held, *waiting[1:]])


def test_event_streams_are_limited(client: httpx.Client) -> None:
    assert client.get("/v1/events").status_code == 422
    many = client.get("/v1/events", params={"job": ["0" * 32] * 101})
    assert many.status_code == 422
    gone = client.get("/v1/events", params={"job": "x"})
    assert gone.status_code == 200 and "event: deleted" in gone.text
