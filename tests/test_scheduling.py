"""When a pytest-xdist worker crashes, the test that it ran fails and the others still run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

REPOSITORY = Path(__file__).parents[1]
SETTINGS = """
[pytest]
addopts = --import-mode=importlib --dist loadfile --no-loadscope-reorder
markers = unit
"""
PASSES = "import pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_passes(n): pass\n"
CRASHES = "def test_crashes():\n    import os\n    os._exit(3)\n"
FILES = {
    "test_a.py": PASSES,
    "test_b.py": PASSES + CRASHES + "def test_after_the_crash(): pass\n",
    "test_c.py": PASSES + CRASHES,
    "test_d.py": "def test_alone(): pass\n",
    "test_e.py": PASSES,
}


@pytest.mark.parametrize("workers", [1, 2])
def test_crashed_worker_fails_one_test(tmp_path: Path, workers: int) -> None:
    shutil.copy(REPOSITORY / "conftest.py", tmp_path)
    for name, content in {**FILES, "pytest.ini": SETTINGS}.items():
        (tmp_path / name).write_text(content)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"-n{workers}"]
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout
    failed = set(re.findall(r"FAILED (\S+)", run.stdout))
    assert failed == {"test_b.py::test_crashes", "test_c.py::test_crashes"}
    assert "2 failed, 18 passed" in run.stdout
