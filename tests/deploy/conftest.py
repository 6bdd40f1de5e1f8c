"""The tools that check the samples in deploy/. Missing tools skip with a warning, or fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from artscraper_gateway.tests.conftest import picture  # noqa: F401  a fixture

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
REQUIRED = "ARTSCRAPER_REQUIRE_DEPLOY"  # set where everything was installed: nothing is skipped


def tool(name: str, *, install: str) -> str:
    """Return the program's path; skips the test, or fails it, where there is none."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name, path=_search_path())
    if found is None:
        reason = f"{name} is not installed: {install}"
        if os.environ.get(REQUIRED):
            pytest.fail(f"{REQUIRED} is set, and {reason}")
        pytest.skip(f"NOT TESTED: {reason}")
    return found


def checked(*command: str | Path, cwd: Path = DEPLOY, **environment: str) -> str:
    """Run a check and return its output; fail the test with that when it is not content."""
    done = subprocess.run(
        [str(part) for part in command],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        env={**os.environ, **environment},
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


@contextmanager
def serving(
    command: list[str], environment: dict[str, str], log: Path
) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """Start a gateway by `serve` with its log in a file; yield it with a client of it."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "listens on" in line, log.read_text()
        with httpx.Client(base_url=line.split()[-1], timeout=320, trust_env=False) as client:
            yield process, client
    finally:
        process.terminate()
        process.wait(timeout=60)
        if process.stdout is not None:
            process.stdout.close()


def check_that_it_protects(client: httpx.Client) -> None:
    """Assert that the gateway is alive and marks a picture."""
    assert client.get("/livez").status_code == 200
    job = client.post(
        "/v1/jobs",
        files={"file": (REPOSITORY / "input" / "astronaut.jpg").read_bytes()},
        data={"stages": "invisible-watermark", "include_hash_analysis": "no"},
        headers={"Prefer": "wait=300"},
    ).json()
    assert job["status"] == "done", job


def require_root(reason: str, *, missing: Sequence[str] = ()) -> None:
    """Skip the test, or fail it, without root or where programs are missing."""
    if os.geteuid() == 0 and not missing:
        return
    text = f"{reason} needs root{''.join(f', {each}' for each in missing)}"
    if os.environ.get(REQUIRED):
        pytest.fail(f"{REQUIRED} is set, and {text}")
    pytest.skip(f"NOT TESTED: {text}")


def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
