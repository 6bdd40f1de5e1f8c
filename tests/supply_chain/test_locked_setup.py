"""The installs of `make setup`, with the lock file and without, and its messages."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

REPOSITORY = Path(__file__).resolve().parents[2]


def would_do(environment: Path, *arguments: str) -> list[str]:
    """Return the commands of `make setup` for this environment; none is run."""
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "setup", f"VENV={environment}", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    return done.stdout.splitlines()


def test_locked_setup_installs_by_hashes(tmp_path: Path) -> None:
    installs = [line for line in would_do(tmp_path, "LOCKED=1") if "pip install" in line]
    assert len(installs) == 2
    assert "--require-hashes -r locks/default.txt" in installs[0]
    assert installs[1].endswith("--no-deps --no-build-isolation --editable .")


def test_unlocked_setup_installs_the_project(tmp_path: Path) -> None:
    (install,) = [line for line in would_do(tmp_path) if "pip install" in line]
    assert install.endswith("--editable '.[c2pa,faces]'") and "locks/" not in install


def test_setup_announces_long_steps(tmp_path: Path) -> None:
    for arguments in ([], ["LOCKED=1"]):
        output = would_do(tmp_path, *arguments)
        first = next(place for place, line in enumerate(output) if "pip install" in line)
        assert f"Installing into {tmp_path} over the network: about 550 MB" in output[first - 1]


def test_pinned_packages_stay_pinned(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for mark in ("bin/python", ".installed", ".installed-locked"):
        (tmp_path / mark).touch()
    for arguments in ([], ["LOCKED=1"]):
        assert not [line for line in would_do(tmp_path, *arguments) if "pip install" in line]
    (tmp_path / ".installed-locked").unlink()
    assert not [line for line in would_do(tmp_path) if "pip install" in line]
    assert [line for line in would_do(tmp_path, "LOCKED=1") if "--require-hashes" in line]
