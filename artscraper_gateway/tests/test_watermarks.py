"""The watermark of a picture after a job, and reading it over HTTP."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from artscraper_gateway.tests.conftest import SAMPLES
from artscraper_gateway.tests.gateway_process import GatewayProcess
from artscraper_gateway.tests.support.in_process import InProcessGateway
from tests.provenance.certificates import (
    AUTHORITY,
    KEY,
    LEAF,
    OTHER_KEY,
    key_pem,
    own_pair,
)

WAIT = {"Prefer": "wait=170"}
MARK_ONLY = {"stages": "invisible-watermark", "include_hash_analysis": "no"}


def marked(
    client: httpx.Client, content: bytes, **fields: Any
) -> tuple[str, bytes, dict[str, Any]]:
    """Return the id of a job that marks a picture, the marked picture and its layer's record."""
    job = client.post(
        "/v1/jobs", files={"file": content}, data={**MARK_ONLY, **fields}, headers=WAIT
    ).json()
    assert job["status"] == "done", job
    result = client.get(f"/v1/jobs/{job['job_id']}/result").json()
    layer = result["summary"]["layers"][-1]
    answer = client.get(f"/v1/jobs/{job['job_id']}/layers/invisible-watermark")
    return job["job_id"], answer.content, layer


def read(client: httpx.Client, content: bytes) -> dict[str, Any]:
    answer = client.post("/v1/watermarks/read", files={"file": content})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_watermark_identifies_its_job_after_recompression(
    client: httpx.Client,
) -> None:
    job_id, content, layer = marked(client, SAMPLES[0].read_bytes())
    found = read(client, content)
    assert found["job_id"] == job_id
    assert found["payload"] == layer["metrics"]["payload"]
    assert found["confidence"] > 0
    smaller = io.BytesIO()
    with Image.open(io.BytesIO(content)) as image:
        image.resize((image.width * 3 // 4, image.height * 3 // 4)).save(
            smaller, "JPEG", quality=70
        )
    assert read(client, smaller.getvalue())["job_id"] == job_id
    client.delete(f"/v1/jobs/{job_id}")
    assert read(client, content)["job_id"] is None


def test_watermark_text_is_embedded(client: httpx.Client, small_sample: bytes) -> None:
    _, content, _ = marked(client, small_sample, watermark_text="by Ada")
    found = read(client, content)
    assert found["text"] == "by Ada" and found["job_id"] is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [(b"eleven char", "found 11"), (b"\xc3\xa4\xff", "UTF-8"), (b"nul\0", "NUL")],
)
def test_invalid_watermark_texts_are_refused(
    client: httpx.Client, text: bytes, reason: str
) -> None:
    fields = {"watermark_text": (None, text), "file": ("a.jpg", SAMPLES[0].read_bytes())}
    answer = client.post("/v1/jobs", files=fields)
    assert answer.status_code == 422
    assert "watermark_text" in answer.json()["detail"] and reason in answer.json()["detail"]


def test_empty_text_is_refused_in_json_and_ignored_in_forms(
    client: httpx.Client, small_sample: bytes
) -> None:
    body = {"local_path": str(SAMPLES[0]), "watermark_text": ""}
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 422
    assert "watermark_text: expected 1 to 10 bytes" in answer.json()["detail"]
    _, _, layer = marked(client, small_sample, watermark_text="")
    assert len(layer["metrics"]["payload"]) == 16


def test_unmarked_picture_has_no_watermark(client: httpx.Client, small_sample: bytes) -> None:
    found = read(client, small_sample)
    assert found == {"payload": None, "text": None, "confidence": 0.0, "job_id": None}


def test_upstream_method_is_selectable(client: httpx.Client, small_sample: bytes) -> None:
    _, _, layer = marked(client, small_sample, watermark_method="dwtDctSvd")
    assert layer["metrics"]["method"] == "dwtDctSvd"
    assert bytes.fromhex(layer["metrics"]["payload"]) == b"artscraper"
    assert layer["metrics"]["bit_accuracy"] == 1.0


def test_unreadable_pictures_are_refused_and_not_stored(
    client: httpx.Client, gateway: InProcessGateway
) -> None:
    for content, status in (
        (b"", 415),
        (b"hello", 415),
        (SAMPLES[0].read_bytes()[:20_000], 422),
    ):
        answer = client.post("/v1/watermarks/read", files={"file": content})
        assert answer.status_code == status, answer.text
    assert client.post("/v1/watermarks/read", json={}).status_code == 415
    assert client.post("/v1/watermarks/read", data={"a": "b"}).status_code in (415, 422)
    assert not list(gateway.base_dir.glob("reading-*"))


def test_watermark_survives_the_other_stages_in_any_order(
    client: httpx.Client, small_sample: bytes
) -> None:
    attacks = "photoguard,mist,nightshade"
    for order in (f"invisible-watermark,{attacks}", f"{attacks},invisible-watermark"):
        files = {"file": small_sample}
        data = {"stages": order, "include_hash_analysis": "no"}
        job = client.post("/v1/jobs", files=files, data=data, headers=WAIT).json()
        assert job["status"] == "done", job
        last = order.rpartition(",")[2]
        content = client.get(f"/v1/jobs/{job['job_id']}/layers/{last}").content
        assert read(client, content)["job_id"] == job["job_id"]


def test_downloads_of_c2pa_jobs_have_opt_out_headers(
    client: httpx.Client, small_sample: bytes
) -> None:
    pytest.importorskip("c2pa", reason="the extra c2pa is not installed")
    files = {"file": small_sample}
    data = {"stages": "c2pa", "include_hash_analysis": "no"}
    job = client.post("/v1/jobs", files=files, data=data, headers=WAIT).json()
    assert job["status"] == "done", job
    answer = client.get(f"/v1/jobs/{job['job_id']}/layers/c2pa")
    assert answer.headers["tdm-reservation"] == "1"
    assert b"trainingAndDataMining" in answer.content or b"training-mining" in answer.content
    url = f"/v1/jobs/{marked(client, small_sample)[0]}/layers/original"
    assert "tdm-reservation" not in client.get(url).headers


def test_certificate_signs_or_reports_the_reason(
    start_gateway: Callable[..., GatewayProcess], small_sample: bytes, tmp_path: Path
) -> None:
    pytest.importorskip("c2pa", reason="the extra c2pa is not installed")
    own = own_pair(tmp_path, b"", b"")
    gateway = start_gateway(c2pa_certificate=own.certificate, c2pa_key=own.key)
    with gateway.client() as client:
        for chain, key, reason in [
            (LEAF.but(begins=-9, ends=-1).pem() + AUTHORITY.pem(), key_pem(), "not now"),
            (LEAF.pem() + AUTHORITY.but(key=OTHER_KEY).pem(), key_pem(), "not issued by"),
            (LEAF.pem(), key_pem(OTHER_KEY), "does not belong"),
            (LEAF.pem() + AUTHORITY.pem() + key_pem(), key_pem(), None),
        ]:
            own_pair(tmp_path, chain, key)
            layer, answer = signed(client, small_sample)
            assert layer["applied"] == (reason is None)
            assert reason is None or reason in layer["reason"]
            assert str(tmp_path) not in str(layer["reason"])
            assert answer.headers["tdm-reservation"] == "1", "the job asked for it"
            assert (b"jumb" in answer.content) == (reason is None)
            assert KEY.private_numbers().private_value.to_bytes(32, "big") not in answer.content
    assert "PRIVATE" not in gateway.log()


def signed(client: httpx.Client, content: bytes) -> tuple[dict[str, Any], httpx.Response]:
    """Return the record and the download of a job's signed layer."""
    data = {"stages": "c2pa", "include_hash_analysis": "no"}
    files = {"file": content}
    job = client.post("/v1/jobs", files=files, data=data, headers=WAIT).json()
    assert job["status"] == "done", job
    result = client.get(f"/v1/jobs/{job['job_id']}/result").json()
    layer: dict[str, Any] = result["summary"]["layers"][-1]
    return layer, client.get(f"/v1/jobs/{job['job_id']}/layers/c2pa")


def test_stages_that_change_the_file_run_last(client: httpx.Client, small_sample: bytes) -> None:
    pytest.importorskip("c2pa", reason="the extra c2pa is not installed")
    files = {"file": small_sample}
    data = {"stages": "c2pa,stegano-embed,fourier-ring", "include_hash_analysis": "no"}
    job = client.post("/v1/jobs", files=files, data=data, headers=WAIT).json()
    result = client.get(f"/v1/jobs/{job['job_id']}/result").json()
    names = [layer["stage"] for layer in result["summary"]["layers"]]
    assert names == ["original", "fourier-ring", "stegano-embed", "c2pa"]
