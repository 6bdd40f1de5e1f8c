"""Results in S3: machines that share nothing but the database and the bucket."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import StorageUnavailable
from artscraper_gateway.storage.objects import ObjectStorage
from artscraper_gateway.tests.gateway_process import until
from artscraper_gateway.tests.stages_for_tests.stages_that_misbehave import GATE_WIDTH
from tests.fleet.fleet import Fleet
from tests.fleet.servers import PostgresServer, S3Server, free_port

if TYPE_CHECKING:
    import s3fs  # takes a second: imported by the tests that run

Start = Callable[..., Fleet]
Picture = Callable[..., bytes]
BUCKET = "pictures"


@pytest.fixture
def bucket(s3: S3Server) -> Iterator[s3fs.S3FileSystem]:
    """The empty bucket, seen from outside."""
    import s3fs

    files = s3fs.S3FileSystem(
        endpoint_url=s3.environment["AWS_ENDPOINT_URL"],
        key="test",
        secret="test",
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    files.mkdir(BUCKET)
    yield files
    files.rm(BUCKET, recursive=True)


def test_machines_share_only_database_and_bucket(
    start_fleet: Start,
    postgres: PostgresServer,
    s3: S3Server,
    bucket: s3fs.S3FileSystem,
    picture: Picture,
    tmp_path: Path,
) -> None:
    options = {
        "database_url": postgres.new_database(),
        "output_parent": f"s3://{BUCKET}/some/prefix",
        "worker_timeout": 2,
    }
    fleet = start_fleet(options, s3.environment)
    dying = fleet.ready_worker(0, base_dir=tmp_path / "machine-0")
    sent = picture(GATE_WIDTH)
    job_id = fleet.submit(sent)
    fleet.entered()
    assert not bucket.exists(f"{BUCKET}/some/prefix/{job_id}"), "seen before it is done"
    with fleet.web.client() as client:
        assert client.get(f"/v1/jobs/{job_id}/layers/original").content == sent
    assert not (fleet.web.outputs / ".running" / job_id / "input").exists(), "not removed yet"
    dying.kill()
    fleet.ready_worker(1, base_dir=tmp_path / "machine-1")
    fleet.entered(times=2)
    fleet.open_gate()
    job = fleet.ended(job_id)
    assert job["status"] == "done", job["error"]
    assert_served(fleet, job_id, sent)
    kept = f"{BUCKET}/some/prefix/.jobs/{job_id}/workers"
    until(lambda: not bucket.exists(kept), what="the worker tidies up behind the job's end")
    assert_stored(bucket, job_id)
    with fleet.web.client() as client:
        again = client.post(f"/v1/jobs/{job_id}/retry").json()["job_id"]
        assert not list(fleet.web.base_dir.rglob(".running/*")), "not removed there yet"
        assert fleet.ended(again)["status"] == "done"
        for each in (again, job_id):
            assert client.delete(f"/v1/jobs/{each}").status_code == 200
    assert bucket.find(BUCKET) == []
    fleet.ready_worker(2, base_dir=tmp_path / "machine-0")  # what the dead one left there
    for machine in (fleet.web.base_dir, tmp_path / "machine-0", tmp_path / "machine-1"):
        assert not list(machine.rglob(f"*{job_id}*"))


def assert_served(fleet: Fleet, job_id: str, sent: bytes) -> None:
    with fleet.web.client() as client:
        result = client.get(f"/v1/jobs/{job_id}/result").json()
        place = f"s3://{BUCKET}/some/prefix/{job_id}"
        assert result["output_dir"] == place
        assert [layer["path"] for layer in result["summary"]["layers"]] == [
            f"{place}/layers/{name}/image.png"
            for name in ("00-original", "01-invisible-watermark", "02-gate")
        ]
        assert result["analysis"]["processors"]
        assert client.get(f"/v1/jobs/{job_id}/layers/original").content == sent
        marked = client.get(f"/v1/jobs/{job_id}/layers/invisible-watermark").content
        assert marked.startswith(b"\x89PNG")


def assert_stored(bucket: s3fs.S3FileSystem, job_id: str) -> None:
    names = [name.removeprefix(f"{BUCKET}/some/prefix/") for name in bucket.find(BUCKET)]
    assert f"{job_id}/summary.json" in names and f"{job_id}/masks/02-gate.png" in names
    assert [name for name in names if name.startswith(".jobs/")] == [
        f".jobs/{job_id}/input/image.png"
    ], "what only the running job needed is gone"
    summary = json.loads(bucket.cat_file(f"{BUCKET}/some/prefix/{job_id}/summary.json"))
    assert summary["image"] == f"s3://{BUCKET}/some/prefix/.jobs/{job_id}/input/image.png"


def test_local_previews_are_removed_with_their_job(tmp_path: Path) -> None:
    storage = ObjectStorage(GatewayConfig(base_dir=tmp_path, output_parent="memory://pictures"))
    folder = storage.previews("a" * 32)
    folder.mkdir(parents=True)
    assert list(storage.cached_jobs()) == [folder]
    storage.remove("a" * 32)
    assert not folder.exists()


def test_missing_bucket_refuses_submissions(
    start_fleet: Start, s3: S3Server, picture: Picture
) -> None:
    fleet = start_fleet({"output_parent": "s3://nowhere"}, s3.environment)
    with fleet.web.client() as client:
        answer = client.post("/v1/jobs", files={"file": picture()})
    assert answer.status_code == 503 and answer.json()["code"] == "storage-failed"
    assert not list(fleet.web.base_dir.glob("*/input"))


@pytest.mark.system
@pytest.mark.parametrize("url", ["colour://red", "s3://bucket"])
def test_unusable_storage_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    config = GatewayConfig(base_dir=tmp_path, output_parent=url)
    with pytest.raises(StorageUnavailable, match=r"pip install 'artscraper-gateway\[s3\]'"):
        ObjectStorage(config)
    away = f"ftp://127.0.0.1:{free_port()}/results"
    with pytest.raises(StorageUnavailable, match="reachable"):
        ObjectStorage(GatewayConfig(base_dir=tmp_path, output_parent=away))
    done: Any = subprocess.run(
        [sys.executable, "-m", "artscraper_gateway", "--output-parent=colour://red", "--port=0"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 2 and "colour://red" in done.stderr
    assert "Traceback" not in done.stderr
