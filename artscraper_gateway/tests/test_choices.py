"""Protection options over HTTP."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from artscraper_gateway.tests.gateway_process import REPOSITORY
from artscraper_gateway.tests.support.in_process import InProcessGateway
from artscraper_runner import models, stage_names

Picture = Callable[..., bytes]
SAMPLE = REPOSITORY / "input" / "astronaut.jpg"
WAIT = {"Prefer": "wait=170"}


def protect(client: httpx.Client, content: bytes, **fields: Any) -> list[dict[str, Any]]:
    """Return the layers of a job that is done."""
    data = {"include_hash_analysis": "no", **fields}
    job = client.post("/v1/jobs", files={"file": content}, data=data, headers=WAIT).json()
    assert job["status"] == "done", job
    result = client.get(f"/v1/jobs/{job['job_id']}/result").json()
    layers: list[dict[str, Any]] = result["summary"]["layers"]
    return layers


@pytest.mark.parametrize(("strength", "budget"), [("low", 4), ("high", 16)])
def test_strength_bounds_attack_stages(
    client: httpx.Client, picture: Picture, strength: str, budget: int
) -> None:
    layers = protect(client, picture(96, 80), strength=strength, stages="photoguard,mist")
    assert [layer["stage"] for layer in layers] == ["original", "photoguard", "mist"]
    for layer in layers[1:]:
        assert 0 < layer["metrics"]["linf"] <= budget
        assert layer["metrics"]["strength"] == strength


def test_published_preset_uses_published_iterations(client: httpx.Client, picture: Picture) -> None:
    layers = protect(client, picture(32, 32), preset="published", stages="mist")
    assert layers[1]["metrics"]["preset"] == "published"
    assert layers[1]["metrics"]["iterations"] == 100


def test_same_seed_gives_the_same_bytes(client: httpx.Client, picture: Picture) -> None:
    content = picture(96, 80)

    def last_layer(seed: str) -> bytes:
        data = {"seed": seed, "stages": "photoguard", "include_hash_analysis": "no"}
        job = client.post("/v1/jobs", files={"file": content}, data=data, headers=WAIT).json()
        return client.get(f"/v1/jobs/{job['job_id']}/layers/photoguard").content

    first = last_layer("7")
    assert first == last_layer("7")
    assert first != last_layer("8")


def test_nightshade_accepts_a_target_picture(
    client: httpx.Client, gateway: InProcessGateway, picture: Picture
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((64, 64, 3), (250, 20, 20), np.uint8)).save(buffer, "PNG")
    files = {"file": picture(96, 80), "nightshade_target": ("red.gif", buffer.getvalue())}
    data = {"stages": "nightshade", "include_hash_analysis": "no"}
    job = client.post("/v1/jobs", files=files, data=data, headers=WAIT).json()
    assert job["status"] == "done", job
    staged = sorted(path.name for path in (gateway.base_dir / job["job_id"] / "input").iterdir())
    assert staged == ["image.png", "nightshade-target.png"]


def test_fawkes_accepts_a_target_picture(
    client: httpx.Client, gateway: InProcessGateway, picture: Picture
) -> None:
    files = {"file": SAMPLE.read_bytes(), "fawkes_target": ("other.png", picture(96, 80))}
    data = {"stages": "fawkes", "include_hash_analysis": "no"}
    job = client.post("/v1/jobs", files=files, data=data, headers=WAIT).json()
    assert job["status"] == "error"
    assert "fawkes_target: expected a picture of a face" in job["error"]
    staged = sorted(path.name for path in (gateway.base_dir / job["job_id"] / "input").iterdir())
    assert staged == ["fawkes-target.png", "image.jpg"]


@pytest.mark.parametrize("field", ["nightshade_target", "fawkes_target"])
def test_invalid_target_picture_is_a_415(
    client: httpx.Client, picture: Picture, field: str
) -> None:
    files = {"file": picture(96, 80), field: ("notes.png", b"no picture")}
    answer = client.post("/v1/jobs", files=files)
    assert answer.status_code == 415
    assert answer.json()["detail"].startswith(f"{field}: expected")


@pytest.mark.parametrize("field", ["nightshade_target", "fawkes_target"])
def test_empty_target_field_is_ignored(client: httpx.Client, picture: Picture, field: str) -> None:
    target, empty = (field, ("t.png", picture(64, 64))), (field, ("", b""))
    sent = ("file", ("a.png", picture(96, 80)))
    data = {"include_hash_analysis": "no", "stages": "invisible-watermark"}
    for files in ([sent, empty], [sent, ("file", ("", b"")), empty, empty]):
        assert client.post("/v1/jobs", files=files, data=data).status_code == 200
    job = client.post("/v1/jobs", files=[sent, target], data={**data, field: ""}).json()
    assert job["status"] == "queued", job
    for files, more in (([sent, target, target], {}), ([sent, target], {field: "city"})):
        answer = client.post("/v1/jobs", files=files, data={**data, **more})
        assert answer.status_code == 422, answer.text
        assert answer.json()["detail"] == f"{field}: expected one picture, found 2 values"


def test_nightshade_target_accepts_concepts_and_texts(
    client: httpx.Client, picture: Picture
) -> None:
    content = picture(272, 256)
    layers = protect(
        client,
        content,
        stages="nightshade,invisible-watermark",
        nightshade_target="city",
        watermark_text="by Ada",
    )
    assert layers[-1]["metrics"]["bit_accuracy"] == 1.0


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"strength": "extreme"}, "medium"),
        ({"preset": "paper"}, "'default' or 'published'"),
        ({"stages": ["blur"]}, "photoguard"),
        ({"encoder": "clip"}, "bundled"),
        ({"encoder": "vae:/etc/passwd"}, "bundled"),
        ({"encoder": "ensemble:bundled+vae:/etc"}, "bundled"),
        ({"encoder": "ensemble:bundled"}, "two or more different encoders"),
        ({"encoder": "ensemble:bundled+bundled"}, "two or more different encoders"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**40}, "seed"),
        ({"nightshade_target": "/etc/passwd"}, "forest"),
        ({"watermark_text": ""}, "watermark_text"),
        ({"watermark_text": "x" * 100}, "watermark_text"),
    ],
)
def test_invalid_option_lists_valid_values(
    client: httpx.Client, fields: dict[str, Any], named: str
) -> None:
    answer = client.post("/v1/jobs", json={"local_path": "input/none.png", **fields})
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid-request"
    assert named in answer.json()["detail"]


def test_missing_encoder_weights_fail_the_job_with_hint(
    client: httpx.Client, picture: Picture
) -> None:
    data = {"encoder": "taef2", "stages": "photoguard", "include_hash_analysis": "no"}
    job = client.post("/v1/jobs", files={"file": picture(96, 80)}, data=data, headers=WAIT).json()
    assert job["status"] == "error"
    assert "photoguard" in job["error"] and "taef2" in job["error"]


def test_stage_no_better_than_noise_is_reported(client: httpx.Client) -> None:
    buffer = io.BytesIO()  # these pixels are hidden, so none is changed
    Image.new("RGBA", (48, 40), (90, 120, 60, 0)).save(buffer, "PNG")
    _, layer = protect(client, buffer.getvalue(), stages="photoguard")
    assert layer["applied"] is True
    assert layer["metrics"]["effective"] is False
    assert layer["metrics"]["linf"] == 0


def test_every_stage_has_a_layer_by_default(client: httpx.Client, picture: Picture) -> None:
    layers = protect(client, picture(300, 280))
    assert {layer["stage"] for layer in layers[1:]} <= set(stage_names())
    stages = [layer["stage"] for layer in layers[1:5]]
    assert stages == ["fawkes", "photoguard", "mist", "nightshade"]
    assert layers[1]["applied"] is False
    assert layers[1]["reason"] == "no face found"


@pytest.mark.parametrize("encoder", ["taesd", "ensemble:bundled+taef2"])
def test_missing_package_names_install_command(
    client: httpx.Client, picture: Picture, monkeypatch: pytest.MonkeyPatch, encoder: str
) -> None:
    find = models.find_spec
    monkeypatch.setattr(models, "find_spec", lambda name: None if name == "torch" else find(name))
    files = {"file": picture(32, 32)}
    answer = client.post("/v1/jobs", files=files, data={"encoder": encoder, "stages": "mist"})
    assert answer.status_code == 422
    assert "pip install 'artscraper-gateway[torch]'" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"copyright_notice": "(c) Ada"}, "expected c2pa in stages"),
        ({"allow_search_engines": "yes", "stages": "mist"}, "expected c2pa in stages"),
        ({"copyright_notice": "x" * 501, "stages": "c2pa"}, "copyright_notice"),
        ({"usage_terms": "two\nlines", "stages": "c2pa"}, "usage_terms: expected one line"),
        ({"usage_terms": ["a", "b"], "stages": "c2pa"}, "usage_terms: expected one value"),
    ],
)
def test_rights_need_opt_out_and_are_one_line(
    client: httpx.Client, picture: Picture, fields: dict[str, Any], named: str
) -> None:
    answer = client.post("/v1/jobs", files={"file": picture(64, 64)}, data=fields)
    assert answer.status_code == 422 and named in answer.json()["detail"], answer.text


def test_rights_from_form_reach_the_file(client: httpx.Client, picture: Picture) -> None:
    fields = {"stages": "c2pa", "copyright_notice": "(c) Ada", "allow_search_engines": "true"}
    answer = client.post("/v1/protect", files={"file": picture(96, 80)}, data=fields)
    assert answer.status_code == 200, answer.text
    assert b"(c) Ada" in answer.content and b"EXCEPTSEARCHENGINEINDEXING" in answer.content
