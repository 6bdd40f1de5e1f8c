"""A minute of the soak benchmark: kills and outages lose, double and leave behind nothing."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from artscraper_gateway.tests.gateway_process import REPOSITORY

pytestmark = pytest.mark.system


@pytest.mark.slow
def test_soak_loses_no_job_in_a_minute() -> None:
    command = [sys.executable, "benchmarks/service/soak.py", "--minutes", "1"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^[1-9]\d* workers killed", done.stdout, re.MULTILINE), done.stdout
