"""The default install and the default job need no torch; names are listed without any runtime."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[1]
QUICK = {
    "packages": "import artscraper_runner, artscraper_runner.models, artscraper_gateway",
    "options": "from artscraper_runner import ProtectionOptions, check_options;"
    "check_options(ProtectionOptions())",
    "projects": "from artscraper_runner.pipeline import credits; credits.project_rows([], None)",
    "command line": "from artscraper_runner.cli.main import _parser; _parser('artscraper')",
}
_BLOCK = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NotInstalled())
"""
_JOB = """
from pathlib import Path
from artscraper_runner import protect_picture

summary = protect_picture(Path(sys.argv[2]), Path(sys.argv[3]))
for layer in summary["layers"][1:]:
    print(layer["stage"], layer["applied"], layer["reason"])
"""


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.system
def test_native_threads_are_set_before_numpy_is_imported() -> None:
    """OpenBLAS reads its number of threads when it is loaded."""
    code = "import sys, artscraper_runner.process; print('numpy' in sys.modules)"
    assert run(code).strip() == "False"


@pytest.mark.system
@pytest.mark.parametrize("what", QUICK)
@pytest.mark.system
def test_imports_load_no_runtime(what: str) -> None:
    run(f"{QUICK[what]}\nimport sys\nassert not {{'torch', 'onnxruntime'}} & set(sys.modules)")


@pytest.mark.system
def test_default_job_needs_no_torch(tmp_path: Path) -> None:
    """All stages, a face and the analysis, where importing torch fails."""
    blocked = "torch,safetensors,diffusers,transformers,onnx"
    portrait = str(REPOSITORY / "input" / "astronaut.jpg")
    lines = run(_BLOCK + _JOB, blocked, portrait, str(tmp_path / "out")).splitlines()
    stages = ("fawkes", "photoguard", "mist", "nightshade", "invisible-watermark")
    assert lines == [f"{stage} True None" for stage in stages]


@pytest.mark.system
def test_service_starts_without_torch() -> None:
    code = "from artscraper_gateway import create_app\ncreate_app()\n"
    run(_BLOCK + code, "torch")


def test_default_dependencies_exclude_torch() -> None:
    """Neither the package itself, nor the extras that `make run` installs, nor the lock files."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["faces"], *extras["c2pa"], *extras["openvino"]]
    names = {Requirement(line).name for line in lines}
    assert "onnxruntime" in names
    assert not {"torch", "safetensors", "diffusers", "artscraper-gateway"} & names
    for lock in (REPOSITORY / "locks").glob("*.txt"):
        assert not re.search(r"^torch==", lock.read_text(), re.MULTILINE), lock.name
