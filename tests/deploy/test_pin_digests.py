"""pin-digests writes the digest of each image's tag, and takes a newer one when run again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.conftest import DEPLOY

pytestmark = pytest.mark.system


def pin(folder: Path, digest: str) -> subprocess.CompletedProcess[str]:
    """Run the script in `folder` with a docker that knows this digest for every image."""
    docker = folder / "bin" / "docker"
    docker.parent.mkdir(exist_ok=True)
    expected = 'test "$1 $2 $3" = "buildx imagetools inspect"'
    docker.write_text(f'#!/bin/sh\n{expected} && echo "{digest}"\n')
    docker.chmod(0o755)
    return subprocess.run(
        ["sh", folder / "pin-digests"],
        env={**os.environ, "PATH": f"{docker.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    for name in ("pin-digests", "Dockerfile", "compose.yaml"):
        shutil.copy(DEPLOY / name, tmp_path / name)
    return tmp_path


def images(folder: Path) -> list[str]:
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"].values()
    (base,) = re.findall(r"^ARG BASE=(.+)$", (folder / "Dockerfile").read_text(), re.MULTILINE)
    return [base, *(each["image"] for each in services if "build" not in each)]


def test_pin_digests_pins_every_image(samples: Path) -> None:
    pinned = [image.partition("@") for image in images(samples)]
    assert len(pinned) == 4 and all(re.fullmatch("sha256:[0-9a-f]{64}", each[2]) for each in pinned)
    tags = [tag for tag, _, _ in pinned]
    for digit in "ab":
        digest = f"sha256:{digit * 64}"
        done = pin(samples, digest)
        assert done.returncode == 0, done.stderr
        assert images(samples) == [f"{tag}@{digest}" for tag in tags]
        assert sorted(set(done.stdout.split())) == sorted({f"{tag}@{digest}" for tag in tags})


def test_pin_digests_needs_every_digest(samples: Path) -> None:
    before = images(samples)
    done = pin(samples, "not found")
    assert done.returncode != 0 and "expected a digest" in done.stderr
    assert images(samples) == before
