"""Backup and restore, with the very commands of docs/operations.md, while the gateway runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

from artscraper_gateway.tests.gateway_process import REPOSITORY, GatewayProcess, until

FIELDS = {"stages": "invisible-watermark", "watermark_text": "mine"}


def commands() -> list[str]:
    guide = (REPOSITORY / "docs/operations.md").read_text()
    block = re.search(r"```\n(rm -f [^`]+?VACUUM.+?)```", guide, re.DOTALL)
    assert block is not None
    return block[1].strip().splitlines()


def run(command: str, cwd: Path) -> None:
    search_path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(
        ["bash", "-c", command], check=True, cwd=cwd, env={**os.environ, "PATH": search_path}
    )


def test_restore_recovers_the_backup(
    tmp_path: Path,
    start_gateway: Callable[..., GatewayProcess],
    picture: Callable[..., bytes],
) -> None:
    gateway = start_gateway(tmp_path / "before")
    with gateway.client() as client:
        wait = {"Prefer": "wait=170"}
        done = client.post("/v1/jobs", files={"file": picture()}, data=FIELDS, headers=wait).json()
        assert done["status"] == "done"
        url = f"/v1/jobs/{done['job_id']}/layers/invisible-watermark"
        layer = client.get(url).content
        tidy, database, files = commands()
        for command in (tidy, database, tidy, database):  # it is made again and again
            run(command, gateway.home)
        late = client.post("/v1/jobs", files={"file": picture()}).json()  # not in the database
        run(files, gateway.home)
    after = tmp_path / "after"
    after.mkdir()
    with tarfile.open(gateway.home / "backup.tar") as backup:
        backup.extractall(after, filter="data")
    (gateway.home / "backup.sqlite3").rename(after / "gateway_jobs" / "gateway.sqlite3")
    os.utime(after / "gateway_jobs" / late["job_id"], (0, 0))  # not one that comes in just now
    gateway.stop()
    restored = start_gateway(after)
    with restored.client() as client:
        assert client.get(url).content == layer
        jobs = client.get("/v1/jobs").json()["jobs"]
        assert [job["job_id"] for job in jobs] == [done["job_id"]]
        until(
            lambda: not (restored.base_dir / late["job_id"]).exists(),
            what="the upload that no row knows is removed",
        )
        again = client.post(f"/v1/jobs/{done['job_id']}/retry").json()
        ended = client.get(f"/v1/jobs/{again['job_id']}?wait=170").json()
        assert ended["status"] == "done"
