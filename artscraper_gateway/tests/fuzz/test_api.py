"""Every operation of the OpenAPI description, one by one and in chains, against a real gateway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artscraper_gateway.tests.fuzz.schemathesis_hooks import ANSWERED, KNOWN, PICTURE
from artscraper_gateway.tests.gateway_process import REPOSITORY, GatewayProcess, until

pytestmark = pytest.mark.fuzz

# What random requests do not come to: their callers need what only a person has.
NEVER_REACHED = {"POST /v1/session"}


@pytest.fixture
def fuzzed(tmp_path: Path, picture: Callable[..., bytes]) -> Iterator[GatewayProcess]:
    """A gateway whose attacks wait for a missing GPU while other jobs end."""
    (tmp_path / "input").mkdir()
    (tmp_path / PICTURE).write_bytes(picture(24, 16))
    options = {"gpu_queue": True, "max_wait": 10, "log_level": "warning"}
    process = GatewayProcess(tmp_path, options).start()
    yield process
    process.stop()


def known_paths(gateway: GatewayProcess) -> dict[str, dict[str, str]]:
    """Submit a job; return path parameters of its results."""
    fields = {"local_path": PICTURE, "stages": ["invisible-watermark"]}
    callback = {"callback_url": "http://receiver.example/"}
    with gateway.client() as client:
        job = client.post("/v1/jobs", json={**fields, **callback}).json()
        url = f"/v1/jobs/{job['job_id']}"
        until(lambda: client.get(url).json()["status"] == "done", what=f"{job} is done")
        found = client.get(f"/v1/jobs/{job['job_id']}/deliveries").json()
    here = {"job_id": job["job_id"]}
    return {
        "/v1/jobs/{job_id}/layers/{stage}": {**here, "stage": "original"},
        "/v1/jobs/{job_id}/layers/{stage}/link": {**here, "stage": "original"},
        "/v1/jobs/{job_id}/masks/{stage}": {**here, "stage": "invisible-watermark"},
        "/v1/jobs/{job_id}/deliveries/{delivery_id}/resend": {
            **here,
            "delivery_id": found["deliveries"][0]["delivery_id"],
        },
    }


def test_fuzzed_responses_match_openapi(fuzzed: GatewayProcess) -> None:
    answered = fuzzed.home / "answered"
    variables = {ANSWERED: str(answered), KNOWN: json.dumps(known_paths(fuzzed))}
    command = [sys.executable, "-m", "schemathesis.cli"]
    command += ["--config-file", str(Path(__file__).with_name("schemathesis.toml"))]
    command += ["run", f"{fuzzed.base_url}/openapi.json"]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=fuzzed.home,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **variables},
    )
    assert done.returncode == 0, done.stdout[-20_000:]
    assert "unexpected error" not in fuzzed.log()
    print(done.stdout[done.stdout.index("Coverage (in") :])
    did = set(answered.read_text().splitlines())
    with fuzzed.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    operations = {f"{method.upper()} {path}" for path, found in paths.items() for method in found}
    assert operations - did <= NEVER_REACHED, operations - did
