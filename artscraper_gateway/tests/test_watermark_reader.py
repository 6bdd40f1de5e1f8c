"""Reading in a process of its own: whose fault a failure is."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from artscraper_gateway.errors import BrokenPicture, GatewayError, TooBusy
from artscraper_gateway.sandbox.processes import PictureProcesses
from artscraper_gateway.sandbox.watermarks import WatermarkReader
from artscraper_runner import PictureLimits


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "long.png"
    Image.new("RGB", (17_000, 20)).save(path)
    return path


def read(
    picture: Path, limits: PictureLimits, *, slots: int = 2, **settings: float
) -> dict[str, object]:
    processes = PictureProcesses(asyncio.Semaphore(slots), **settings)
    reader = WatermarkReader(limits, processes)
    return asyncio.run(reader.read(picture))


@pytest.mark.system
def test_watermark_reader_has_the_gateway_limits(picture: Path) -> None:
    assert read(picture, PictureLimits(max_side=20_000))["payload"] is None
    with pytest.raises(BrokenPicture, match="16384"):
        read(picture, PictureLimits())


@pytest.mark.system
def test_watermark_reader_process_is_bounded(picture: Path) -> None:
    program = (
        "import resource, sys; from artscraper_gateway.sandbox.watermarks import main;"
        " main(*sys.argv[1:]); print(resource.getrlimit(resource.RLIMIT_AS)[0],"
        " resource.getrlimit(resource.RLIMIT_CPU)[0])"
    )
    output = subprocess.run(
        [sys.executable, "-c", program, str(picture), "{}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert output[-1] == f"{3 * 1024**3} 90"


@pytest.mark.system
def test_failing_reader_process_is_logged_as_server_error(
    picture: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(GatewayError, match="the gateway's log") as failure:
        read(picture, PictureLimits())
    assert failure.value.status == 500
    assert "sandbox.watermarks ended with 1" in caplog.text


@pytest.mark.system
def test_watermark_reader_timeout_is_no_server_error(picture: Path) -> None:
    with pytest.raises(TooBusy):
        read(picture, PictureLimits(), timeout_s=0.0)


def test_watermark_reader_refuses_when_its_queue_is_full(picture: Path) -> None:
    with pytest.raises(TooBusy):
        read(picture, PictureLimits(), slots=0, waiting=0)
