"""Idempotency-Key, a full queue, and batches."""

from __future__ import annotations

import io
import sqlite3
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from artscraper_gateway.tests.conftest import SAMPLES
from artscraper_gateway.tests.gateway_process import GatewayProcess, until
from artscraper_gateway.tests.support.in_process import InProcessGateway
from artscraper_gateway.tests.test_contract import LIGHT, submit

Start = Callable[..., GatewayProcess]
Picture = Callable[..., bytes]


def send(
    client: httpx.Client, content: bytes, key: str | None, url: str = "/v1/jobs", **fields: Any
) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(url, files={"file": content}, data={**LIGHT, **fields}, headers=headers)


def folders(gateway: InProcessGateway) -> int:
    return sum(len(path.name) == 32 for path in gateway.base_dir.iterdir())


@pytest.fixture
def idle(start_app: Start, tmp_path: Path) -> InProcessGateway:
    roots = f"{SAMPLES[0].parent},{tmp_path}"
    return start_app(worker_concurrency=0, local_roots=roots)


def test_same_key_and_payload_give_the_same_job(idle: GatewayProcess, picture: Picture) -> None:
    content = picture(64, 64)
    with idle.client() as client:
        first = send(client, content, "a-1")
        again = send(client, content, "a-1")
        assert again.status_code == 200 and again.json() == first.json()
        assert again.headers["location"] == first.headers["location"]
        assert send(client, content, "a-2").json()["job_id"] != first.json()["job_id"]
        assert send(client, content, None).json()["job_id"] != first.json()["job_id"]
        assert folders(idle) == 3, "what was sent again is not kept"


def test_same_key_with_another_payload_is_422(idle: GatewayProcess, picture: Picture) -> None:
    content = picture(64, 64)
    with idle.client() as client:
        send(client, content, "key")
        for other in (
            send(client, picture(65, 64), "key"),
            send(client, content, "key", seed="3"),
            client.post(
                "/v1/jobs",
                json={"local_path": str(SAMPLES[0])},
                headers={"Idempotency-Key": "key"},
            ),
            send(client, content, "key", url="/v1/batches"),
        ):
            assert other.status_code == 422
            assert other.json()["code"] == "idempotency-key-reused"
        assert folders(idle) == 1


def test_concurrent_requests_with_one_key_give_one_job(
    idle: GatewayProcess, picture: Picture
) -> None:
    content = picture(200, 200)

    def once(_: int) -> str:
        with idle.client() as client:
            answer = send(client, content, "at once")
            assert answer.status_code == 422, "a space is no visible character"
            answer = send(client, content, "at-once")
            assert answer.status_code == 200, answer.text
            return str(answer.json()["job_id"])

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(once, range(24)))
    assert len(ids) == 1 and folders(idle) == 1


def test_repeated_request_does_not_download_again(idle: GatewayProcess) -> None:
    headers = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
    body = {"local_path": str(SAMPLES[0]), "seed": 1}
    with idle.client() as client:
        first = client.post("/v1/jobs", json=body, headers=headers)
        assert client.post("/v1/jobs", json=body, headers=headers).json() == first.json()
        other = client.post("/v1/jobs", json={**body, "seed": 2}, headers=headers)
        assert other.status_code == 422


def test_key_is_released_after_a_day_or_deletion(idle: GatewayProcess, picture: Picture) -> None:
    content = picture(64, 64)
    with idle.client() as client:
        first = send(client, content, "k").json()["job_id"]
        with sqlite3.connect(idle.base_dir / "gateway.sqlite3") as database:
            database.execute("update idempotency_keys set created_at = created_at - 86401")
        database.close()
        second = send(client, picture(65, 64), "k").json()["job_id"]
        assert second != first
        client.delete(f"/v1/jobs/{second}")
        assert send(client, content, "k").json()["job_id"] not in (first, second)


def test_batch_key_is_released_with_its_last_job(idle: GatewayProcess, picture: Picture) -> None:
    files = [("file", picture(64, 64)), ("file", picture(65, 64))]
    headers = {"Idempotency-Key": "k"}
    with idle.client() as client:

        def sent() -> dict[str, Any]:
            return client.post("/v1/batches", files=files, data=LIGHT, headers=headers).json()

        first = sent()
        client.delete(f"/v1/jobs/{first['jobs'][0]['job_id']}")
        assert sent()["batch_id"] == first["batch_id"], "one of its jobs is there"
        client.delete(f"/v1/jobs/{first['jobs'][1]['job_id']}")
        again = sent()
        assert again["batch_id"] != first["batch_id"] and len(again["jobs"]) == 2


def test_extra_pictures_and_text_as_file_are_422(idle: GatewayProcess, picture: Picture) -> None:
    two = [("file", picture(64, 64)), ("file", picture(65, 64))]
    with idle.client() as client:
        answer = client.post("/v1/jobs", files=two)
        assert answer.status_code == 422 and "found 2" in answer.json()["detail"]
        text = {"file": "https://example.org/a.png"}
        for url in ("/v1/jobs", "/v1/batches"):
            answer = client.post(url, files=two[:1], data=text)
            assert answer.status_code == 422 and "found text" in answer.json()["detail"]
        assert client.get("/v1/jobs").json()["jobs"] == []


@pytest.mark.parametrize("key", ["", "x" * 256, "two words"])
def test_invalid_idempotency_keys_are_refused(
    client: httpx.Client, picture: Picture, key: str
) -> None:
    answer = send(client, picture(64, 64), key)
    assert answer.status_code == 422 and "Idempotency-Key" in answer.json()["detail"]


def test_full_queue_is_429(start_app: Start, picture: Picture) -> None:
    gateway = start_app(worker_concurrency=0, max_queued=3)
    content = picture(64, 64)
    with gateway.client() as client:
        ids = [send(client, content, None).json()["job_id"] for _ in range(3)]
        for url in ("/v1/jobs", "/v1/batches"):
            answer = send(client, content, "full", url=url)
            assert answer.status_code == 429 and answer.json()["code"] == "queue-full"
            assert answer.json()["detail"].startswith(
                "3 of at most 3 jobs wait, and 1 more was sent;"
            )
            assert int(answer.headers["retry-after"]) >= 1
        assert folders(gateway) == 3
        client.post(f"/v1/jobs/{ids[0]}/cancel")
        assert send(client, content, "full").status_code == 200


def test_batch_beyond_the_queue_limit_is_refused_with_counts(
    start_app: Start, picture: Picture
) -> None:
    gateway = start_app(worker_concurrency=0, max_queued=10)
    content = picture(64, 64)
    with gateway.client() as client:

        def batch(pictures: int, *broken: bytes) -> httpx.Response:
            files = [("file", each) for each in [content] * pictures + list(broken)]
            return client.post("/v1/batches", files=files, data=LIGHT)

        assert batch(2).status_code == 200
        full = batch(9)
        assert full.status_code == 429 and full.json()["code"] == "queue-full"
        assert full.json()["detail"].startswith("2 of at most 10 jobs wait, and 9 more were sent;")
        large = batch(12)
        assert large.status_code == 422 and large.json()["code"] == "invalid-request"
        assert "at most 10 jobs" in large.json()["detail"]
        assert "12" in large.json()["detail"] and "split" in large.json()["detail"]
        assert folders(gateway) == 2
        assert batch(8, b"no picture", b"none").status_code == 200, "what is refused needs no room"


def test_batch_has_a_job_per_picture_and_one_archive(
    client: httpx.Client, picture: Picture
) -> None:
    contents = [picture(64 + n, 64) for n in range(5)]
    files = [("file", (f"{n}.png", content)) for n, content in enumerate(contents)]
    answer = client.post("/v1/batches", files=files, data=LIGHT)
    assert answer.status_code == 200
    batch = answer.json()
    url = answer.headers["location"]
    assert url == f"/v1/batches/{batch['batch_id']}"
    assert len(batch["jobs"]) == 5 and batch["refused"] == []
    assert {job["batch_id"] for job in batch["jobs"]} == {batch["batch_id"]}
    until(lambda: client.get(url).json()["status"] == "done", what="the batch ends")
    assert client.get(url).json()["counts"] == {"queued": 0, "running": 0, "done": 5, "error": 0}
    packed = client.get(f"{url}/archive.zip")
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        originals = [name for name in archive.namelist() if "/00-original/" in name]
        assert [archive.read(name) for name in originals] == contents
        assert [name.split("-")[0] for name in originals] == ["000", "001", "002", "003", "004"]
    for job in batch["jobs"]:
        client.delete(f"/v1/jobs/{job['job_id']}")
    assert client.get(url).status_code == 404


def test_refused_pictures_do_not_stop_the_batch(idle: GatewayProcess, picture: Picture) -> None:
    contents = [picture(64, 64), b"no picture", picture(65, 64)]
    with idle.client() as client:
        batch = client.post(
            "/v1/batches", files=[("file", content) for content in contents], data=LIGHT
        ).json()
        assert [row["index"] for row in batch["refused"]] == [1]
        assert batch["refused"][0]["code"] == "unsupported-picture"
        assert batch["status"] == "queued" and len(batch["jobs"]) == 2
        assert folders(idle) == 2
        assert client.get(f"/v1/batches/{batch['batch_id']}/archive.zip").status_code == 409
        alone = client.post("/v1/batches", files={"file": b"no picture"}, data=LIGHT)
        assert alone.status_code == 415 and folders(idle) == 2


def test_batch_options_apply_to_all_or_one(idle: GatewayProcess) -> None:
    path = str(SAMPLES[0])
    body = {
        "items": [
            {"local_path": path},
            {"local_path": path, "priority": 7},
            {"image_url": "http://127.0.0.1/a.png"},
            {"local_path": "/etc/passwd"},
        ],
        "include_protection": False,
        "priority": 3,
    }
    headers = {"Idempotency-Key": "batch-1"}
    with idle.client() as client:
        answer = client.post("/v1/batches", json=body, headers=headers)
        batch = answer.json()
        assert [job["priority"] for job in batch["jobs"]] == [3, 7]
        codes = [row["code"] for row in batch["refused"]]
        assert codes == ["forbidden-address", "unusable-local-path"]
        again = client.post("/v1/batches", json=body, headers=headers)
        assert again.json()["batch_id"] == batch["batch_id"] and folders(idle) == 2
        other = client.post("/v1/batches", json={**body, "priority": 4}, headers=headers)
        assert other.status_code == 422


@pytest.mark.parametrize("is_there_first", [False, True])
def test_batch_by_reference_is_idempotent(
    idle: GatewayProcess, picture: Picture, is_there_first: bool
) -> None:
    changing = idle.home / "changing.png"
    if is_there_first:
        changing.write_bytes(picture(64, 64))
    body = {"items": [{"local_path": str(changing)}, {"local_path": str(idle.home / "b.png")}]}
    (idle.home / "b.png").write_bytes(picture(65, 64))
    headers = {"Idempotency-Key": "changing"}
    with idle.client() as client:
        first = client.post("/v1/batches", json=body, headers=headers).json()
        assert [row["index"] for row in first["refused"]] == ([] if is_there_first else [0])
        if is_there_first:
            changing.unlink()
            (idle.home / "b.png").unlink()
        else:
            changing.write_bytes(picture(64, 64))
        again = client.post("/v1/batches", json=body, headers=headers)
        assert again.status_code == 200, again.text
        assert again.json() == first
        other = {"items": body["items"][:1]}
        answer = client.post("/v1/batches", json=other, headers=headers)
        assert answer.status_code == 422 and answer.json()["code"] == "idempotency-key-reused"


def test_refused_uploads_are_part_of_the_idempotency_key(
    idle: GatewayProcess, picture: Picture
) -> None:
    headers = {"Idempotency-Key": "uploads"}

    def batch(second: bytes) -> httpx.Response:
        files = [("file", picture(64, 64)), ("file", second)]
        return client.post("/v1/batches", files=files, data=LIGHT, headers=headers)

    with idle.client() as client:
        first = batch(b"no picture").json()
        assert batch(b"no picture").json() == first
        other = batch(b"no drawing")
        assert other.status_code == 422 and other.json()["code"] == "idempotency-key-reused"


def test_batch_target_applies_to_every_picture(idle: GatewayProcess, picture: Picture) -> None:
    target = picture(80, 80)
    files = [("file", picture(64 + n, 64)) for n in range(6)] + [("nightshade_target", target)]
    with idle.client() as client:
        batch = client.post("/v1/batches", files=files).json()
        assert batch["refused"] == []
        for job in batch["jobs"]:
            staged = idle.base_dir / job["job_id"] / "input" / "nightshade-target.png"
            assert staged.read_bytes() == target


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "items"),
        ({"items": []}, "items"),
        ({"items": [{"local_path": "a"}] * 101}, "items"),
        ({"items": [{}]}, "items.0: expected exactly one"),
        (
            {"items": [{"local_path": "a"}, {"local_path": "a", "hue": 1}]},
            "items.1: unknown field 'hue'; ",
        ),
        ({"items": [{"local_path": "a"}, {"local_path": "a", "stages": ["x"]}]}, "items.1: "),
        ({"items": [{"local_path": "a", "callback_url": "ftp://x"}]}, "items.0: "),
        ({"items": [{"local_path": "a"}], "colour": "red"}, "unknown field 'colour'; "),
        ({"items": ["a"]}, "items.0: "),
    ],
)
def test_invalid_batches_are_422(client: httpx.Client, body: dict[str, Any], named: str) -> None:
    answer = client.post("/v1/batches", json=body)
    assert answer.status_code == 422 and named in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body", "valid", "other"),
    [
        ("/v1/batches", {"items": [{"local_path": "a"}], "itmes": []}, "items", "local_path"),
        ("/v1/batches", {"items": [{"local_path": "a", "path": "b"}]}, "local_path", "items"),
        ("/v1/jobs", {"local_path": "a", "path": "b"}, "local_path", "file"),
    ],
)
def test_unknown_field_lists_the_valid_ones(
    client: httpx.Client, path: str, body: dict[str, Any], valid: str, other: str
) -> None:
    detail = client.post(path, json=body).json()["detail"]
    fields = detail.partition("valid: ")[2].split(", ")
    assert valid in fields and other not in fields


def test_batch_size_is_limited(start_app: Start, picture: Picture) -> None:
    gateway = start_app(worker_concurrency=0, max_batch_bytes=200_000)
    content = picture(32, 32)
    with gateway.client() as client:
        files = [("file", content)] * 101
        assert client.post("/v1/batches", files=files).status_code == 422
        assert client.post("/v1/batches", data=LIGHT, files={"x": b""}).status_code == 422
        large = client.post("/v1/batches", files=[("file", b"x" * 800_000)] * 2)
        assert large.status_code == 413
        assert len(client.post("/v1/batches", files=files[:100]).json()["jobs"]) == 100
        assert folders(gateway) == 100


def test_deleting_a_batch_deletes_only_its_jobs(idle: GatewayProcess, picture: Picture) -> None:
    with idle.client() as client:
        files = [("file", picture(64 + n, 64)) for n in range(3)]
        headers = {"Idempotency-Key": "batch"}
        batch = client.post("/v1/batches", files=files, data=LIGHT, headers=headers).json()
        other = send(client, picture(70, 70), None).json()
        url = f"/v1/batches/{batch['batch_id']}"
        deleted = client.delete(url)
        assert deleted.json() == {"batch_id": batch["batch_id"], "status": "deleted"}
        assert client.get(url).status_code == client.delete(url).status_code == 404
        for job in batch["jobs"]:
            assert client.get(f"/v1/jobs/{job['job_id']}").status_code == 404
        listed = client.get("/v1/jobs").json()["jobs"]
        assert [job["job_id"] for job in listed] == [other["job_id"]]
        assert folders(idle) == 1
        again = client.post("/v1/batches", files=files, data=LIGHT, headers=headers).json()
        assert again["batch_id"] != batch["batch_id"], "its key is free again"


def test_unknown_batch_is_404(client: httpx.Client) -> None:
    for batch_id in ("0" * 32, "x", "%00"):
        assert client.get(f"/v1/batches/{batch_id}").status_code == 404
        assert client.delete(f"/v1/batches/{batch_id}").status_code == 404
        assert client.get(f"/v1/batches/{batch_id}/archive.zip").status_code == 404


def test_repeated_request_returns_the_ended_job(client: httpx.Client, picture: Picture) -> None:
    content = picture(70, 70)
    job_id = send(client, content, "ended").json()["job_id"]
    client.get(f"/v1/jobs/{job_id}", params={"wait": 100})
    again = send(client, content, "ended")
    assert again.json()["job_id"] == job_id and again.json()["status"] == "done"
    assert submit(client, content, **LIGHT)["job_id"] != job_id
