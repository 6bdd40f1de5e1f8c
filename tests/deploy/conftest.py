"""The tools that check the samples in deploy/. Missing tools skip with a warning, or fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

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


def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
