"""The Dockerfile's build stage runs as it stands, and what it makes starts as another user."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.conftest import (
    DEPLOY,
    REPOSITORY,
    check_that_it_protects,
    require_root,
    serving,
)
from tests.deploy.dockerfile import BuildFolder, read_stages

pytestmark = pytest.mark.system
_USER = 10001
# What `read_only: true` and `tmpfs: [/tmp]` of the samples do: only the folder $0 can be written.
_READ_ONLY = (
    *("unshare", "--mount", "sh", "-euc"),
    'mount --bind "$0" "$0"; mount -o remount,bind,ro /; mount -t tmpfs tmpfs /tmp; cd "$0";'
    ' exec "$@"',
)
# May read the interpreter of the tests, wherever that lies.
_AS_USER = (
    *("setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"),
    *("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"),
)


@pytest.fixture(scope="module")
def built() -> Iterator[Path]:
    """The folder of a build, whose virtual environment is at opt/artscraper below it."""
    require_root("starting the image's environment as another user")
    root = Path(tempfile.mkdtemp(prefix="artscraper-image-", dir="/var/tmp"))
    root.chmod(0o755)
    python = root / "python"  # the base image's own, which `pip install` may change
    subprocess.run([sys.executable, "-m", "venv", str(python)], check=True)
    path = os.pathsep.join([str(python / "bin"), os.environ["PATH"]])
    build, _ = read_stages(DEPLOY / "Dockerfile")
    environment = {"PATH": path, "UV_NO_CACHE": "0"}  # as the machine's cache: nothing is kept
    BuildFolder(root, REPOSITORY, environment).run(build)
    yield root
    shutil.rmtree(root)


def test_environment_runs_as_another_user_on_read_only_root(built: Path) -> None:
    _, final = read_stages(DEPLOY / "Dockerfile")
    data = built / "data"
    data.mkdir()
    os.chown(data, _USER, _USER)
    environment = {
        name: value.replace("/opt/", f"{built}/opt/").replace("$PATH", os.environ["PATH"])
        for name, value in final.environment().items()
    }
    environment["ARTSCRAPER_GATEWAY_HOST"] = "127.0.0.1"
    environment["ARTSCRAPER_GATEWAY_LOG_FORMAT"] = "text"
    (entry,) = [each.text for each in final.instructions if each.name == "ENTRYPOINT"]
    assert entry == '["python", "-m", "artscraper_gateway"]'
    command = [
        *_READ_ONLY,
        str(data),
        *_AS_USER,
        str(built / "opt/artscraper/bin/python"),
        *("-m", "artscraper_gateway", "serve", "--port=0", "--max-wait=300"),
    ]
    with serving(command, environment, built / "log") as (process, client):
        mounts = Path(f"/proc/{process.pid}/mounts").read_text()
        assert re.search(r"^\S+ / \S+ ro,", mounts, re.MULTILINE), mounts
        check_that_it_protects(client)
    assert not list((built / "opt/artscraper").rglob("artscraper_gateway/tests"))
