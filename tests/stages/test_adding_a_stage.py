"""docs/adding-a-stage.md, followed to the letter, gives a stage that works."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENT = (REPOSITORY / "docs" / "adding-a-stage.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
    return str(found)


def test_documented_stage_has_ten_lines() -> None:
    written = [line for line in block("python").splitlines() if line and '"""' not in line]
    assert len([line for line in written if not line.startswith(("import", "from"))]) <= 10


@pytest.mark.system
def test_documented_stage_runs_as_a_layer(tmp_path: Path) -> None:
    package = tmp_path / "artscraper_runner"
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "artscraper_runner", package, ignore=skipped)
    (package / "stages" / "grain.py").write_text(block("python"))
    registry = package / "stages" / "__init__.py"
    before, end, behind = registry.read_text().partition("\n}\n")
    registry.write_text(f"{before}\n{block('text').rstrip()}{end}{behind}")
    picture = REPOSITORY / "input" / "astronaut.jpg"
    command = [sys.executable, "-m", "artscraper_runner", "protect", str(picture)]
    done = subprocess.run(
        [*command, "--stages", "grain", "--out", "out"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    (summary,) = (tmp_path / "out").rglob("summary.json")
    layer = json.loads(summary.read_text())["layers"][1]
    assert (layer["stage"], layer["applied"]) == ("grain", True)
    assert 3 < layer["metrics"]["linf"] < 40  # 4, and what JPEG adds to it
