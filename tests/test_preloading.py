"""After `preload`, threads that run light jobs and file layers import nothing more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_PROBE = """
import sys
from pathlib import Path
from artscraper_runner import PictureRun, Workspace, preload
preload()
before = set(sys.modules)
base = Path(sys.argv[1])
run = PictureRun(base / "picture.png", Workspace(base / "output", base / "work"))
run.workspace.create()
run.write_summary([run.keep_original()], None)
print(sorted(name for name in set(sys.modules) - before if not name.startswith("encodings")))
print("torch" in sys.modules)
"""


@pytest.mark.system
def test_preloading_covers_imports_of_a_job(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "picture.png")
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.splitlines() == ["[]", "False"], done.stderr
