"""The image is built for real, without a registry, and runs on a read-only root as its user."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.conftest import DEPLOY, check_that_it_protects, require_root, serving
from tests.deploy.dockerfile import read_stages
from tests.deploy.image import TOOLS, USER, Builder, BuiltImage

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def image() -> Iterator[BuiltImage]:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    require_root("building the image", missing=missing)
    builder = Builder(Path(tempfile.mkdtemp(prefix="artscraper-build-", dir="/var/tmp")))
    try:
        yield builder.build()
    finally:
        builder.remove()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A volume of the image's user."""
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, 10001, 10001)
    return folder


def test_image_configuration_matches_the_dockerfile(image: BuiltImage) -> None:
    assert image.config["User"] == USER
    assert image.config["Entrypoint"] == ["python", "-m", "artscraper_gateway"]
    assert list(image.config["ExposedPorts"]) == ["8765/tcp"]
    assert "/data" in image.config["Volumes"]
    assert image.config["Healthcheck"]["Test"][0] == "CMD"
    _, final = read_stages(DEPLOY / "Dockerfile")
    names = {each.partition("=")[0] for each in image.config["Env"]}
    assert final.environment().keys() <= names
    assert not list(image.root.rglob("artscraper_gateway/tests"))


def test_only_volume_and_tmp_are_writable(image: BuiltImage, data: Path) -> None:
    script = (
        "id -u; for each in / /opt/artscraper /etc /data /tmp;"
        " do if touch $each/probe 2>/dev/null; then echo $each; fi; done;"
        " grep -c ' / .* ro[ ,]' /proc/self/mounts"
    )
    done = subprocess.run(
        image.shell(data, script),
        capture_output=True,
        text=True,
        check=True,
        env=image.environment(),
        timeout=60,
    )
    assert done.stdout.split() == ["10001", "/data", "/tmp", "1"]


def test_container_runs_a_job_and_stops_on_sigterm(image: BuiltImage, data: Path) -> None:
    command = image.command(data, "serve", "--port=0", "--log-format=text", "--max-wait=300")
    environment = {**image.environment(), "ARTSCRAPER_GATEWAY_HOST": "127.0.0.1"}
    log = data.parent / "log"
    with serving(command, environment, log) as (process, client):
        check_that_it_protects(client)
        (first,) = _children(process.pid)
        os.kill(first, 15)
        assert process.wait(timeout=60) == 128 + 15, "the server ends by the signal, as it should"
        assert "Application shutdown complete" in log.read_text()


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
