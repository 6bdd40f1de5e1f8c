"""20,000 damaged pictures are accepted or refused in bounded time and memory, 1,000 over HTTP."""

from __future__ import annotations

import collections
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from artscraper_gateway.tests.fuzz.intake_process import PYTHON_TEXT
from artscraper_gateway.tests.fuzz.metadata_files import METADATA_KINDS, metadata_files
from artscraper_gateway.tests.fuzz.sample_pictures import sample_pictures
from artscraper_gateway.tests.gateway_process import REPOSITORY
from artscraper_gateway.tests.support.in_process import InProcessGateway
from artscraper_runner.imaging.decode import open_picture
from artscraper_runner.imaging.formats.container import FORMATS
from artscraper_runner.options import PictureLimits

pytestmark = pytest.mark.fuzz

MODULE = "artscraper_gateway.tests.fuzz.intake_process"
EXAMPLES = {
    "JPEG": 2000,
    "PNG": 2000,
    "TIFF": 2000,
    "WEBP": 1500,
    "GIF": 1000,
    "AVIF": 1000,
    "BMP": 500,
}

UPLOADS = 250  # of each kind
METADATA_EXAMPLES = {
    "JPEG metadata": 4500,
    "PNG metadata": 3500,
    "WEBP metadata": 1500,
    "AVIF metadata": 500,
}
INPUTS = {**METADATA_EXAMPLES, **EXAMPLES}  # the longest runs first


def test_inputs_cover_all_formats() -> None:
    assert sum(EXAMPLES.values()) == 10_000
    assert sum(METADATA_EXAMPLES.values()) == 10_000
    assert METADATA_EXAMPLES.keys() == set(METADATA_KINDS)
    assert EXAMPLES.keys() == set(FORMATS) == sample_pictures().keys()


@pytest.mark.parametrize("kind", FORMATS)
def test_undamaged_samples_are_accepted(kind: str, tmp_path: Path) -> None:
    for content in sample_pictures()[kind]:
        (tmp_path / "picture").write_bytes(content)
        assert open_picture(tmp_path / "picture", PictureLimits()).header.format == kind


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


@pytest.mark.parametrize(
    ("fault", "ends_with"),
    [
        ("while True: pass", -signal.SIGPROF),
        ("import os; os.abort()", -signal.SIGABRT),
        ("b'x' * (1100 * 1024**2)", 1),
        ("raise ZeroDivisionError", 1),
    ],
)
def test_intake_fault_is_detected(fault: str, ends_with: int, tmp_path: Path) -> None:
    script = f"""
import pathlib
from {MODULE.rpartition(".")[0]} import intake_process
def take_in(path):
    {fault}
    return "taken"
intake_process.take_in, intake_process.CPU_S = take_in, 2.0
intake_process.main("BMP", 5, pathlib.Path({str(tmp_path)!r}))
"""
    assert run("-c", script).returncode == ends_with


@pytest.mark.parametrize("kind", INPUTS)
def test_hostile_picture_is_accepted_or_refused(kind: str, tmp_path: Path) -> None:
    done = run("-m", MODULE, kind, str(INPUTS[kind]), str(tmp_path))
    assert done.returncode == 0, (
        f"ended with {done.returncode} at {tmp_path / 'picture'}:\n{done.stderr[-10_000:]}"
    )
    received = json.loads(done.stdout)
    print(kind, received)
    assert sum(received.values()) >= INPUTS[kind]
    if kind in METADATA_EXAMPLES:
        assert received["taken"] > INPUTS[kind] // 4
    else:
        assert min(received["taken"], received["BrokenPicture"]) > INPUTS[kind] // 50


@pytest.mark.parametrize("kind", METADATA_KINDS)
def test_uploads_with_hostile_metadata_get_no_server_error(kind: str, tmp_path: Path) -> None:
    gateway = InProcessGateway(tmp_path, {"worker_concurrency": 0}).start()
    received: collections.Counter[int] = collections.Counter()
    options = {"include_protection": "false", "include_hash_analysis": "false"}

    @settings(
        max_examples=UPLOADS,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(content=metadata_files(kind))
    def upload(content: bytes) -> None:
        response = client.post("/v1/jobs", files={"file": ("a", content)}, data=options)
        received[response.status_code] += 1
        assert response.status_code in (202, 413, 415, 422), response.text
        assert not PYTHON_TEXT.search(response.text), response.text

    try:
        with gateway.client(headers={"Prefer": "respond-async"}) as client:
            upload()
    finally:
        gateway.stop()
    print(kind, dict(received))
    assert received[202] > UPLOADS // 4
