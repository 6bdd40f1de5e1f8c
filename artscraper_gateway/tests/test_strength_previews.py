"""A part of a picture at a strength, before the picture is sent."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from artscraper_gateway.auth.keys import KeyStore
from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.errors import BrokenPicture, GatewayError, TooBusy
from artscraper_gateway.sandbox.strength_previews import StrengthPreviews
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import until
from artscraper_gateway.tests.support.in_process import InProcessGateway

pytestmark = pytest.mark.api
Picture = Callable[..., bytes]
URL = "/v1/strength-previews"
FORM: dict[str, Any] = {
    "width": "1000",
    "height": "750",
    "strength": "medium",
    "stages": "photoguard",
}


def preview(client: httpx.Client, part: bytes, **fields: Any) -> httpx.Response:
    form = {name: value for name, value in {**FORM, **fields}.items() if value is not None}
    return client.post(URL, files={"file": ("part.png", part)}, data=form)


def test_preview_shows_part_and_keeps_nothing(
    gateway: InProcessGateway, client: httpx.Client, picture: Picture
) -> None:
    choices = client.get(URL).json()
    assert choices["max_side"] == 512 and "invisible-watermark" in choices["stages"]
    before = {path.name for path in gateway.base_dir.iterdir()}
    jobs = client.get("/v1/jobs").json()["jobs"]
    part = picture(256, 200)
    shown = []
    for strength in ("low", "high"):
        answer = preview(client, part, strength=strength, stages="photoguard,invisible-watermark")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["cache-control"] == "no-store"
        with Image.open(io.BytesIO(answer.content)) as image:
            assert image.size == (256, 200)
            shown.append(np.asarray(image.convert("RGB")))
    assert not np.array_equal(*shown)
    assert {path.name for path in gateway.base_dir.iterdir()} == before
    assert client.get("/v1/jobs").json()["jobs"] == jobs


@pytest.mark.parametrize(
    ("fields", "status", "named"),
    [
        ({"stages": "photoguard,fawkes"}, 422, "'fawkes' has no preview; valid: photoguard, mist"),
        ({"stages": "c2pa"}, 422, "'c2pa' has no preview"),
        ({"stages": None}, 422, "stages: expected at least one, found none; valid: photoguard"),
        ({"stages": ""}, 422, "stages: expected at least one, found none; valid: photoguard"),
        ({"stages": " , "}, 422, "stages: expected"),
        ({"stages": "mist," * 40}, 422, "stages: List should have at most 32 items"),
        ({"strength": "extreme"}, 422, "strength"),
        ({"strength": ["low", "high"]}, 422, "strength: expected one value, found 2"),
        ({"width": None}, 422, "width: expected a value, found none"),
        ({"width": "-3"}, 422, "width"),
        ({"height": "1e9"}, 422, "height"),
        ({"width": "63"}, 422, "those of the whole picture"),
        ({"priority": "7"}, 422, "unknown field 'priority'; valid: file, width, height"),
    ],
)
def test_preview_refuses_bad_fields(
    client: httpx.Client, picture: Picture, fields: dict[str, Any], status: int, named: str
) -> None:
    answer = preview(client, picture(64, 64), **fields)
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    ), answer.text
    assert named in answer.json()["detail"]


def test_preview_refuses_bad_parts(client: httpx.Client, picture: Picture) -> None:
    whole = picture(64, 64)
    assert preview(client, b"no picture").status_code == 415
    assert preview(client, b"").status_code == 415
    assert preview(client, whole[: len(whole) // 2]).json()["code"] == "broken-picture"
    too_large = preview(client, picture(513, 20))
    assert (too_large.status_code, too_large.json()["code"]) == (413, "too-large")
    assert "512 px a side, found 513x20" in too_large.json()["detail"]
    huge = preview(client, b"x" * 3_000_000)
    assert huge.status_code == 413
    assert client.post(URL, json=FORM).status_code == 415
    assert client.post(URL, data=FORM).status_code == 415
    without = client.post(URL, data=FORM, files={"other": ("a.png", whole)})
    assert without.status_code == 422 and "file" in without.json()["detail"]


def test_published_preset_has_no_preview(
    start_app: Callable[..., InProcessGateway], picture: Picture
) -> None:
    with start_app(preset="published", worker_concurrency=0).client() as client:
        assert client.get(URL).json()["stages"] == []
        assert "none with the gateway's preset" in preview(client, picture(64, 64)).json()["detail"]


def test_process_ends_when_idle_and_is_replaced(tmp_path: Path) -> None:
    part, target = tmp_path / "part.png", tmp_path / "out.png"
    Image.effect_noise((64, 64), 40).convert("RGB").save(part)
    work: dict[str, Any] = {"whole": (64, 64), "stages": ("photoguard",), "strength": "low"}

    async def run() -> None:
        previews = StrengthPreviews({"accelerator": "cpu"}, idle_s=0.2)
        await previews.make(part, target, **work)
        assert target.is_file()
        first = previews._process
        assert first is not None
        await asyncio.wait_for(first.wait(), 30)
        making = asyncio.create_task(previews.make(part, target, **work))
        while previews._process is None or previews._process is first or not previews._answers:
            await asyncio.sleep(0.01)
        previews._process.kill()
        with pytest.raises(GatewayError, match="could not be made"):
            await making
        await previews.make(part, target, **work)
        (tmp_path / "text.png").write_bytes(b"no picture")
        with pytest.raises(BrokenPicture):
            await previews.make(tmp_path / "text.png", target, **work)
        with pytest.raises(GatewayError, match="could not be made"):
            await previews.make(part, tmp_path / "gone" / "out.png", **work)
        last = previews._process
        await previews.close()
        assert last is None or last.returncode is not None

    asyncio.run(run())


def test_previews_are_refused_when_busy(tmp_path: Path) -> None:
    part = tmp_path / "part.png"
    Image.effect_noise((64, 64), 40).convert("RGB").save(part)
    work: dict[str, Any] = {"whole": (64, 64), "stages": ("photoguard",), "strength": "low"}

    async def run() -> None:
        previews = StrengthPreviews({"accelerator": "cpu"}, timeout_s=0.05)
        many = [previews.make(part, tmp_path / f"{n}.png", **work) for n in range(14)]
        results = await asyncio.gather(*many, return_exceptions=True)
        assert all(isinstance(each, TooBusy) for each in results)
        messages = {str(each) for each in results}
        assert len(messages) == 2, messages
        await previews.close()

    asyncio.run(run())


def test_preview_needs_submit_scope(
    start_app: Callable[..., InProcessGateway], picture: Picture
) -> None:
    app = start_app(worker_concurrency=0)
    engine = open_engine(GatewayConfig(base_dir=app.base_dir))
    reading = KeyStore(engine).add("reader", scopes=("read",))
    engine.dispose()
    with app.client() as client:
        until(lambda: client.get(URL).status_code == 401, what="the key is noticed")
        assert preview(client, picture(64, 64)).status_code == 401
        headers = {"X-API-Key": reading}
        assert client.get(URL, headers=headers).status_code == 403
