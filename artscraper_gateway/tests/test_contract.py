"""The five calls, as clients exist for them, on every picture in input/."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from artscraper_gateway.tests.conftest import SAMPLES
from artscraper_gateway.tests.gateway_process import until
from artscraper_gateway.tests.support.in_process import InProcessGateway

WAIT = {"Prefer": "wait=170"}
JOB_FIELDS = {"job_id", "status", "submitted_at", "updated_at", "error"}
LIGHT = {"include_protection": "false", "include_hash_analysis": "false"}


def submit(client: httpx.Client, content: bytes, **fields: Any) -> dict[str, Any]:
    """Submit an upload and returns the job when it has ended."""
    answer = client.post("/v1/jobs", files={"file": content}, data=fields, headers=WAIT)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_upload_is_protected(client: httpx.Client, sample: Path) -> None:
    answer = client.post("/v1/jobs", files={"file": (sample.name, sample.read_bytes())})
    assert answer.status_code == 200
    job = answer.json()
    assert job["status"] == "queued"
    assert job.keys() >= JOB_FIELDS
    assert answer.headers["location"] == f"/v1/jobs/{job['job_id']}"
    seen = []

    def ended() -> bool:
        state = client.get(answer.headers["location"]).json()
        seen.append(state["status"])
        return state["status"] in ("done", "error")

    until(ended, what="the job ends")
    assert seen[-1] == "done"
    assert seen == sorted(seen, key=["queued", "running", "done"].index)

    result = client.get(f"/v1/jobs/{job['job_id']}/result").json()
    assert result["job_id"] == job["job_id"]
    assert {"image", "analysis", "layers", "projects"} <= result["summary"].keys()
    names = {row["name"]: row["ok"] for row in result["analysis"]["processors"]}
    assert all(names.values()) and {"metadata", "imagehash", "dhash"} <= names.keys()
    output = Path(result["output_dir"])
    assert output.is_absolute() and output.name == job["job_id"]
    stored = json.loads((output / "summary.json").read_text())
    for index, layer in enumerate(result["summary"]["layers"]):
        assert layer.pop("url") == f"/v1/jobs/{job['job_id']}/layers/{layer['stage']}"
        assert ("mask_path" in layer) == ("mask_url" in layer)
        layer.pop("mask_url", None)
        assert layer.pop("media_type") == "image/jpeg"
        path = Path(layer["path"])
        assert path.parent == output / "layers" / f"{index:02d}-{layer['stage']}"
        served = client.get(f"/v1/jobs/{job['job_id']}/layers/{layer['stage']}")
        assert served.status_code == 200
        assert served.headers["content-type"] == "image/jpeg"
        assert served.headers["x-content-type-options"] == "nosniff"
        assert served.content == path.read_bytes()
        with Image.open(path) as layer_image, Image.open(sample) as sent:
            assert layer_image.size == sent.size
        if index:
            with Image.open(layer["mask_path"]) as mask:
                assert mask.mode == "L" and max(mask.size) <= 1024
    assert result["summary"] == stored
    assert Path(result["summary"]["layers"][0]["path"]).read_bytes() == sample.read_bytes()

    deleted = client.delete(f"/v1/jobs/{job['job_id']}")
    assert deleted.json() == {"job_id": job["job_id"], "status": "deleted"}
    assert not output.exists()
    for path in ("", "/result", "/layers/original"):
        assert client.get(f"/v1/jobs/{job['job_id']}{path}").status_code == 404
    assert client.delete(f"/v1/jobs/{job['job_id']}").status_code == 404


def test_local_path_may_be_relative(client: httpx.Client, gateway: InProcessGateway) -> None:
    sample = SAMPLES[0]
    answer = client.post("/v1/jobs", json={"local_path": str(sample), **_off()}, headers=WAIT)
    assert answer.json()["status"] == "done"
    served = client.get(f"/v1/jobs/{answer.json()['job_id']}/layers/original")
    assert served.content == sample.read_bytes()


def test_image_url_is_downloaded(
    start_app: Callable[..., InProcessGateway], gateway: InProcessGateway, client: httpx.Client
) -> None:
    content = SAMPLES[0].read_bytes()
    job = submit(client, content, **LIGHT)
    url = f"{gateway.base_url}/v1/jobs/{job['job_id']}/layers/original"
    private = start_app(allow_private_addresses="true")
    with private.client() as other:
        answer = other.post("/v1/jobs", json={"image_url": url, **_off()}, headers=WAIT)
        assert answer.json()["status"] == "done", answer.text
        served = other.get(f"/v1/jobs/{answer.json()['job_id']}/layers/original")
    assert served.content == content


def test_analysis_and_protection_are_optional(
    client: httpx.Client, picture: Callable[..., bytes]
) -> None:
    job = submit(client, picture(), **LIGHT)
    result = client.get(f"/v1/jobs/{job['job_id']}/result").json()
    assert result["analysis"] is None and result["summary"]["analysis"] is None
    assert [layer["stage"] for layer in result["summary"]["layers"]] == ["original"]
    assert not (Path(result["output_dir"]) / "analysis.json").exists()


@pytest.mark.parametrize("text", ["true", "1", "yes", "on", "True", "ON"])
def test_form_booleans_accept_common_spellings(
    client: httpx.Client, picture: Callable[..., bytes], text: str
) -> None:
    fields = {"include_hash_analysis": text, "include_protection": "no", "enable_tineye": "off"}
    job = submit(client, picture(64, 64), **fields)
    result = client.get(f"/v1/jobs/{job['job_id']}/result").json()
    assert result["analysis"] is not None
    assert len(result["summary"]["layers"]) == 1


def test_empty_form_fields_use_defaults(
    client: httpx.Client, picture: Callable[..., bytes]
) -> None:
    job = submit(client, picture(64, 64), processors="", include_protection="", enable_tineye="")
    result = client.get(f"/v1/jobs/{job['job_id']}/result").json()
    assert len(result["analysis"]["processors"]) >= 3
    assert len(result["summary"]["layers"]) > 1


@pytest.mark.parametrize("as_form", [True, False])
def test_processors_are_selected_by_name(client: httpx.Client, as_form: bool) -> None:
    if as_form:
        files = {"file": SAMPLES[0].read_bytes()}
        data = {"processors": "dhash, metadata", "include_protection": "0"}
        answer = client.post("/v1/jobs", files=files, data=data, headers=WAIT)
    else:
        body = {"local_path": str(SAMPLES[0]), "processors": ["dhash", "metadata"]}
        answer = client.post("/v1/jobs", json={**body, "include_protection": False}, headers=WAIT)
    result = client.get(f"/v1/jobs/{answer.json()['job_id']}/result").json()
    assert [row["name"] for row in result["analysis"]["processors"]] == ["metadata", "dhash"]


def test_tineye_needs_explicit_request(client: httpx.Client, picture: Callable[..., bytes]) -> None:
    job = submit(client, picture(64, 64), processors="tineye", include_protection="0")
    result = client.get(f"/v1/jobs/{job['job_id']}/result").json()
    (row,) = result["analysis"]["processors"]
    assert row["name"] == "tineye" and not row["ok"] and "enable_tineye" in row["error"]


def test_prefer_respond_async_answers_202(
    client: httpx.Client, picture: Callable[..., bytes]
) -> None:
    answer = client.post("/v1/jobs", files={"file": picture()}, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert client.get(answer.headers["location"]).status_code == 200


def test_eight_concurrent_clients_are_served(
    client: httpx.Client, picture: Callable[..., bytes]
) -> None:
    content = picture(64, 64)
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda _: submit(client, content, **LIGHT), range(32)))
    assert {job["status"] for job in jobs} == {"done"}
    assert len({job["job_id"] for job in jobs}) == 32


def test_png_layer_is_lossless_png(client: httpx.Client, picture: Callable[..., bytes]) -> None:
    content = picture()
    job = submit(client, content, stages="photoguard,invisible-watermark")
    result = client.get(f"/v1/jobs/{job['job_id']}/result").json()
    last = result["summary"]["layers"][-1]
    served = client.get(f"/v1/jobs/{job['job_id']}/layers/{last['stage']}")
    assert served.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(served.content)).size == (320, 280)
    assert last["metrics"]["linf"] > 0


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "image_url"),
        ({"image_url": "https://example.org/a.png", "local_path": "a"}, "exactly one"),
        ({"local_path": "a", "processors": ["phash"]}, "imagehash"),
        ({"local_path": "a", "colour": "red"}, "colour"),
        ({"local_path": "a", "include_protection": "perhaps"}, "include_protection"),
        ({"local_path": 7}, "local_path"),
        ([1, 2], "object"),
        ("text", "object"),
    ],
)
def test_invalid_json_request_is_explained(client: httpx.Client, body: Any, named: str) -> None:
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == 422 and problem["code"] == "invalid-request"
    assert named in problem["detail"]


def test_invalid_form_is_explained(client: httpx.Client, picture: Callable[..., bytes]) -> None:
    content = picture(64, 64)
    cases: list[tuple[dict[str, Any], dict[str, str], str]] = [
        ({"file": content}, {"processors": "metadata,nothing"}, "nothing"),
        ({"file": content}, {"colour": "red"}, "colour"),
        ({"other": content}, {}, "file"),
        ({"file": content}, {"include_protection": "maybe"}, "include_protection"),
    ]
    for files, data, named in cases:
        answer = client.post("/v1/jobs", files=files, data=data)
        assert answer.status_code == 422
        assert named in answer.json()["detail"]


def test_other_content_types_are_unsupported(client: httpx.Client) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"Content-Type": content_type}
        answer = client.post("/v1/jobs", content=b"file=a", headers=headers)
        assert answer.status_code == 415
        assert answer.json()["code"] == "unsupported-request-body"


def test_unknown_job_and_stage_are_404(client: httpx.Client, picture: Callable[..., bytes]) -> None:
    for job_id in ("0" * 32, "x", "%2e%2e%2fetc", "a" * 5000):
        for path in ("", "/result", "/layers/original"):
            assert client.get(f"/v1/jobs/{job_id}{path}").status_code == 404
    job = submit(client, picture(64, 64), **LIGHT)
    for stage in ("unknown", "..%2foriginal", "summary.json", "original%00"):
        answer = client.get(f"/v1/jobs/{job['job_id']}/layers/{stage}")
        assert answer.status_code == 404


def test_queued_job_result_is_409_with_retry_after(
    start_app: Callable[..., InProcessGateway], picture: Callable[..., bytes]
) -> None:
    idle = start_app(worker_concurrency=0)
    with idle.client() as client:
        job_id = client.post("/v1/jobs", files={"file": picture()}).json()["job_id"]
        for path in ("result", "layers/mist"):
            answer = client.get(f"/v1/jobs/{job_id}/{path}")
            assert answer.status_code == 409
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["code"] == "not-ready"
        waited = client.post(
            "/v1/jobs", files={"file": picture()}, headers={"Prefer": "respond-async, wait=1"}
        )
        assert waited.status_code == 202 and waited.json()["status"] == "queued"
        assert client.delete(f"/v1/jobs/{job_id}").status_code == 200
        assert client.get(f"/v1/jobs/{job_id}").status_code == 404
        assert not (idle.base_dir / job_id).exists()


def test_upload_is_kept_until_deletion(
    client: httpx.Client, gateway: InProcessGateway, picture: Callable[..., bytes]
) -> None:
    content = picture(64, 64)
    job = submit(client, content, **LIGHT)
    (staged,) = (gateway.base_dir / job["job_id"] / "input").iterdir()
    assert staged.read_bytes() == content
    client.delete(f"/v1/jobs/{job['job_id']}")
    assert not (gateway.base_dir / job["job_id"]).exists()


def test_unknown_methods_and_paths_are_problems(client: httpx.Client) -> None:
    for method, path, status in (("PUT", "/v1/jobs", 405), ("GET", "/v2", 404)):
        answer = client.request(method, path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"


def _off() -> dict[str, bool]:
    return {"include_protection": False, "include_hash_analysis": False}


def test_method_not_allowed_lists_methods(client: httpx.Client) -> None:
    for path, methods in (
        ("/v1/jobs", "GET, HEAD, POST"),
        ("/v1/jobs/x", "GET, HEAD, DELETE"),
        ("/v1/session", "GET, HEAD, POST, DELETE"),
        ("/v1/limits", "GET, HEAD"),
    ):
        answer = client.put(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)
        assert answer.json()["detail"] == f"expected {methods}, found PUT"


def test_invalid_requests_are_problems(
    client: httpx.Client,
) -> None:
    described = client.get("/openapi.json").json()
    answers = [
        operation["responses"]["422"]["content"]
        for operations in described["paths"].values()
        for operation in operations.values()
        if "422" in operation["responses"]
    ]
    assert all(answer.keys() == {"application/problem+json"} for answer in answers)
    assert "HTTPValidationError" not in described["components"]["schemas"]


def test_form_schema_has_no_null(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()
    for path in ("/v1/jobs", "/v1/batches"):
        content = described["paths"][path]["post"]["requestBody"]["content"]
        assert "null" not in json.dumps(content["multipart/form-data"])
