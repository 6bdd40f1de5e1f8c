"""Reading in a process of its own: whose fault a failure is."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from PIL import Image

from artscraper_gateway import watermark_reader
from artscraper_gateway.errors import BrokenPicture, GatewayError, TooBusy
from artscraper_gateway.watermark_reader import WatermarkReader
from artscraper_runner import PictureLimits


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "long.png"
    Image.new("RGB", (17_000, 20)).save(path)
    return path


def read(picture: Path, limits: PictureLimits) -> dict[str, object]:
    return asyncio.run(WatermarkReader(limits).read(picture))


def test_the_limits_are_the_gateways(picture: Path) -> None:
    assert read(picture, PictureLimits(max_side=20_000))["payload"] is None
    with pytest.raises(BrokenPicture, match="16384"):
        read(picture, PictureLimits())


def test_a_process_that_fails_is_the_gateways_fault_and_is_logged(
    picture: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(GatewayError, match="the gateway's log") as failure:
        read(picture, PictureLimits())
    assert failure.value.status == 500
    assert "reading a watermark ended with 1" in caplog.text


def test_too_little_time_is_nobodys_fault(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watermark_reader, "_TIMEOUT_S", 0.0)
    with pytest.raises(TooBusy):
        read(picture, PictureLimits())


def test_a_queue_that_is_full_says_so(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watermark_reader, "_WAITING", 0)
    with pytest.raises(TooBusy):
        read(picture, PictureLimits())
