"""Importing the packages, and naming their parts, loads no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

QUICK = {
    "packages": "import artscraper_runner, artscraper_runner.models, artscraper_gateway",
    "options": "from artscraper_runner import ProtectionOptions, check_options;"
    "check_options(ProtectionOptions())",
    "projects": "from artscraper_runner.pipeline import credits; credits.project_rows([], None)",
    "command line": "from artscraper_runner.cli.main import _parser; _parser()",
}


@pytest.mark.system
@pytest.mark.parametrize("what", QUICK)
def test_torch_is_not_loaded_by(what):
    code = f"{QUICK[what]}\nimport sys\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
