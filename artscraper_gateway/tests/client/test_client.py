"""The client against a live gateway: every call, with both clients."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
import typing
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from artscraper_gateway import errors as served
from artscraper_gateway.api.schemas import BatchState, DeliveryState, JobState, WatermarkReading
from artscraper_gateway.client import AsyncGateway, Gateway, JobOptions, ServerPath, errors
from artscraper_gateway.client import models as read
from artscraper_gateway.jobs.request import JobOptions as ServedOptions
from artscraper_gateway.tests.client.conftest import Connect
from artscraper_gateway.tests.conftest import SAMPLES
from artscraper_gateway.tests.gateway_process import REPOSITORY, GatewayProcess
from artscraper_gateway.tests.support.in_process import InProcessGateway

Picture = Callable[..., bytes]
Start = Callable[..., GatewayProcess]
LIGHT: dict[str, Any] = {"include_protection": False, "include_hash_analysis": False}


@pytest.fixture
def client(connect: Connect, gateway: InProcessGateway) -> Any:
    return connect(gateway.base_url)


@pytest.fixture
def idle(start_app: Start) -> InProcessGateway:
    return start_app(worker_concurrency=0)


@pytest.mark.usefixtures("one_iteration")
def test_submit_wait_and_download_layers(client: Any, small_sample: bytes, tmp_path: Path) -> None:
    seen = []
    job = client.submit(small_sample, strength="low", stages=["photoguard", "invisible-watermark"])
    job = client.wait(job.job_id, on_change=seen.append)
    assert job.status == "done" and job.progress == 1 and job.finished_at is not None
    assert {each.stage for each in seen} >= {"photoguard", "invisible-watermark"}
    assert [each.progress for each in seen] == sorted(each.progress for each in seen)

    result = client.result(job.job_id)
    assert result.analysis is not None
    assert [layer.stage for layer in result.layers] == [
        "original",
        "photoguard",
        "invisible-watermark",
    ]
    files = client.download(job.job_id, tmp_path / "layers")
    assert [path.name for path in files] == [
        "00-original.jpg",
        "01-photoguard.jpg",
        "02-invisible-watermark.jpg",
    ]
    assert files[0].read_bytes() == small_sample
    for path, layer in zip(files, result.layers, strict=True):
        assert path.read_bytes() == Path(layer.path or "").read_bytes()
    assert sorted(path.name for path in (tmp_path / "layers").iterdir()) == [
        path.name for path in files
    ], "nothing else is left behind"
    (only,) = client.download(job.job_id, tmp_path / "one", stages=["photoguard"])
    assert only.name == "01-photoguard.jpg"
    small = client.download_layer(job.job_id, "photoguard", tmp_path / "small.webp", size=64)
    with Image.open(small) as preview:
        assert max(preview.size) == 64
    with zipfile.ZipFile(client.archive(job.job_id, tmp_path / "all.zip")) as archive:
        assert "summary.json" in archive.namelist()
    reading = client.read_watermark(files[-1])
    assert reading.job_id == job.job_id and reading.payload is not None


def test_submit_accepts_bytes_path_and_server_path(client: Any, picture: Picture) -> None:
    content = picture(64, 64)
    sources = [content, str(SAMPLES[0]), ServerPath(str(SAMPLES[0]))]
    for source in sources:
        job = client.submit(source, wait_s=60, **LIGHT)
        assert job.status == "done", source
        assert client.result(job.job_id).analysis is None
    with pytest.raises(errors.RejectedInput, match="not allowed") as refused:
        client.submit("http://127.0.0.1/picture.png")
    assert refused.value.code == "forbidden-address" and refused.value.status == 422


def test_submit_sends_every_option(client: Any, picture: Picture, tmp_path: Path) -> None:
    """The gateway refuses unknown options, so all of these must be valid."""
    face = tmp_path / "face.png"
    face.write_bytes(picture(64, 64))
    values: dict[str, Any] = {
        "processors": ["dhash", "metadata"],
        "include_hash_analysis": True,
        "include_protection": True,
        "enable_tineye": False,
        "stages": ("mist", "c2pa"),
        "strength": "low",
        "encoder": "bundled",
        "preset": "default",
        "seed": 3,
        "nightshade_target": face,
        "fawkes_target": str(face),
        "watermark_text": "me",
        "watermark_method": "tiled",
        "keep_watermark": True,
        "copyright_notice": "(c) me",
        "usage_terms": "ask first",
        "allow_search_engines": True,
        "priority": 5,
        "callback_url": "https://example.org/hook",
    }
    assert values.keys() == JobOptions.__annotations__.keys()
    job = client.submit(picture(65, 64), wait_s=60, **values)
    assert job.status == "done" and job.priority == 5
    analysis = client.result(job.job_id).analysis
    assert {row["name"] for row in analysis["processors"]} == {"metadata", "dhash"}
    (delivery,) = client.deliveries(job.job_id)
    assert delivery.url == "https://example.org/hook" and delivery.type == "job.done"
    assert len(client.resend(job.job_id, delivery.delivery_id)) == 1
    del values["fawkes_target"]
    named = {**values, "nightshade_target": "city", "callback_url": None}
    job = client.submit(ServerPath(str(SAMPLES[0])), **named)
    assert job.priority == 5
    client.cancel(job.job_id)  # its large picture would be attacked beside the next tests
    with pytest.raises(ValueError, match="nightshade_target: a target picture requires"):
        client.submit(ServerPath(str(SAMPLES[0])), **values)


@pytest.mark.parametrize("picture", [b"picture", "https://example.org/a.png"])
def test_empty_name_lists_are_refused(client: Any, picture: bytes | str) -> None:
    for name in ("stages", "processors"):
        with pytest.raises(ValueError, match=f"{name}: expected at least one name"):
            client.submit(picture, **{name: []})
        with pytest.raises(ValueError, match=f"{name}: expected at least one name"):
            client.submit_batch([picture], **{name: ()})


def test_batch_is_submitted_awaited_and_deleted(
    client: Any, picture: Picture, tmp_path: Path
) -> None:
    batch = client.submit_batch([picture(64, 64), b"no picture", SAMPLES[0]], seed=1, **LIGHT)
    assert [(item.index, item.code) for item in batch.refused] == [(1, "unsupported-picture")]
    batch = client.wait_for_batch(batch.batch_id, timeout_s=60)
    assert batch.status == "done" and batch.counts["done"] == 2
    with zipfile.ZipFile(client.batch_archive(batch.batch_id, tmp_path / "b.zip")) as archive:
        assert len([name for name in archive.namelist() if name.endswith("summary.json")]) == 2
    client.delete_batch(batch.batch_id)
    with pytest.raises(errors.NotFound):
        client.batch(batch.batch_id)
    with pytest.raises(ValueError, match="all files"):
        client.submit_batch([picture(64, 64), ServerPath("a.png")])
    with pytest.raises(ValueError, match="all files"):
        client.submit_batch([])
    named = client.submit_batch([ServerPath(str(SAMPLES[0]))] * 2, **LIGHT)
    assert len(named.jobs) == 2


def test_jobs_are_awaited_cancelled_listed_and_deleted(
    connect: Connect, idle: GatewayProcess, picture: Picture
) -> None:
    client = connect(idle.base_url)
    job = client.submit(picture(64, 64))
    with pytest.raises(errors.WaitTimedOut, match=r"0\.2 s"):
        client.wait(job.job_id, timeout_s=0.2)
    batch = client.submit_batch([picture(66, 64)])
    with pytest.raises(errors.WaitTimedOut):
        client.wait_for_batch(batch.batch_id, timeout_s=0.2)
    with pytest.raises(errors.NotReady) as early:
        client.result(job.job_id)
    assert early.value.retry_after_s == 1
    with pytest.raises(errors.NotReady):
        client.retry(job.job_id)
    assert client.job(job.job_id).queue_position == 1
    cancelled = client.cancel(job.job_id)
    assert (cancelled.status, cancelled.error_code) == ("error", "cancelled")
    assert client.wait(job.job_id).error == "the job was cancelled"
    with pytest.raises(errors.JobFailed, match="cancelled"):
        client.result(job.job_id)
    again = client.retry(job.job_id)
    assert [each.job_id for each in client.jobs(status="error")] == [job.job_id]
    assert {each.job_id for each in client.jobs()} == {
        job.job_id,
        again.job_id,
        batch.jobs[0].job_id,
    }
    client.delete(again.job_id)
    for call in (client.job, client.wait, client.delete):
        with pytest.raises(errors.NotFound):
            call(again.job_id)


def test_list_jobs_follows_all_pages(
    connect: Connect, idle: GatewayProcess, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("_sync", "_async"):
        monkeypatch.setattr(f"artscraper_gateway.client.{kind}._PAGE_SIZE", 2)
    client = connect(idle.base_url)
    sent = [client.submit(picture(64 + n, 64)).job_id for n in range(5)]
    assert [job.job_id for job in client.jobs()] == sent[::-1]


def test_same_idempotency_key_gives_same_job(
    connect: Connect, idle: GatewayProcess, picture: Picture
) -> None:
    client = connect(idle.base_url)
    jobs = {client.submit(picture(64, 64), idempotency_key="k").job_id for _ in range(2)}
    assert len(jobs) == 1
    with pytest.raises(errors.IdempotencyKeyReused):
        client.submit(picture(65, 64), idempotency_key="k")
    assert client.submit(picture(64, 64)).job_id not in jobs


def test_limits_are_typed_and_invalid_requests_raise(client: Any, picture: Picture) -> None:
    limits = client.limits()
    assert limits.max_upload_bytes > 0 and "mist" in {stage.name for stage in limits.stages}
    with pytest.raises(errors.InvalidRequest, match="strength"):
        client.submit(picture(64, 64), strength="none")
    with pytest.raises(errors.UnsupportedPicture, match=r"Not an accepted picture format: .+"):
        client.submit(b"text")
    with pytest.raises(FileNotFoundError):
        client.submit("no-such-file.png")


def test_api_key_is_sent_and_never_printed(
    connect: Connect, start_gateway: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = start_gateway(worker_concurrency=0)
    add = [sys.executable, "-m", "artscraper_gateway", "keys", "add", "me"]
    done = subprocess.run(
        [*add, "--base-dir", str(gateway.base_dir)],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    key = done.stdout.split()[2]
    caplog.set_level("DEBUG")
    with pytest.raises(errors.Unauthorized):
        _until_refused(connect(gateway.base_url))
    client = connect(gateway.base_url, api_key=key)
    assert list(client.jobs()) == []
    assert key not in repr(client) + caplog.text
    assert key not in repr(Gateway(gateway.base_url, api_key=key)._connection)
    with pytest.raises(errors.Unauthorized) as wrong:
        list(connect(gateway.base_url, api_key="ask_wrong").jobs())
    assert "ask_wrong" not in str(wrong.value)


def _until_refused(client: Any) -> None:
    """Wait until the key is refused: keys are read once a second."""
    for _ in range(100_000):
        list(client.jobs())


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8765", "ftp://a", "http://", "http://localhost:abc", "http://[::1"]
)
def test_invalid_base_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"expected (http|a URL)"):
        Gateway(url)


def test_clients_have_equal_methods() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {
            name: [str(each) for each in inspect.signature(method).parameters.values()]
            for name, method in found
            if not name.startswith("_") and name not in ("close", "aclose")
        }

    assert methods(Gateway) == methods(AsyncGateway)
    assert len(methods(Gateway)) >= 20


def test_client_covers_every_option_field_and_problem() -> None:
    extra = {"fawkes_target"}  # always a file, so it is no option in the gateway
    assert set(typing.get_type_hints(JobOptions)) - extra == set(ServedOptions.model_fields)
    for ours, theirs in (
        (read.Job, JobState),
        (read.Batch, BatchState),
        (read.Delivery, DeliveryState),
        (read.WatermarkReading, WatermarkReading),
    ):
        assert {each.name for each in dataclasses.fields(ours)} == set(theirs.model_fields), ours
    for problem in _all_subclasses(served.GatewayError):
        known = errors.problem_class(problem.status, problem.code)
        assert known is not errors.Problem, f"{problem.code} has no class in the client"
        assert errors.problem_class(problem.status, "new") is not errors.Problem or (
            problem.status == 409
        )


def _all_subclasses(kind: type) -> list[Any]:
    found = kind.__subclasses__()
    return [kind, *found, *(each for below in found for each in _all_subclasses(below))]


@pytest.mark.system
def test_importing_client_loads_neither_service_nor_torch() -> None:
    heavy = "torch dbos fastapi starlette sqlalchemy pydantic PIL numpy artscraper_runner"
    code = f"import artscraper_gateway.client, sys; print({heavy.split()} & sys.modules.keys())"
    code = code.replace("[", "{").replace("]", "}")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert done.stdout == "set()\n", done.stdout


def test_client_works_without_server_paths(
    connect: Connect, start_app: Start, picture: Picture, tmp_path: Path
) -> None:
    app = start_app(show_paths="no")
    client = connect(app.base_url)
    target = client.protect(picture(64, 64), tmp_path / "out.png", stages=["photoguard"])
    (job,) = client.jobs()
    result = client.result(job.job_id)
    assert (result.output_dir, result.layers[0].path) == (None, None)
    files = client.download(job.job_id, tmp_path / "layers")
    assert [path.name for path in files] == ["00-original.png", "01-photoguard.png"]
    assert files[-1].read_bytes() == target.read_bytes()


def test_protect_returns_the_picture_in_one_call(
    client: Any, picture: Picture, tmp_path: Path
) -> None:
    target = tmp_path / "out" / "out.png"
    options: dict[str, Any] = {"stages": ["photoguard"], "strength": "low", "seed": 1}
    assert client.protect(picture(64, 64), target, **options) == target
    with Image.open(target) as result:
        assert result.size == (64, 64)
    with pytest.raises(FileExistsError):
        client.protect(picture(64, 64), target, **options)
    with pytest.raises(ValueError, match=r"ends in \.png"):
        client.protect(picture(64, 64), tmp_path / "out.jpg", **options)
    with pytest.raises(errors.NotProtected, match="no stage was applied: fawkes: no face"):
        client.protect(picture(64, 64), tmp_path / "none.png", stages=["fawkes"])
    assert list(tmp_path.rglob("*.*")) == [target]


def test_existing_files_are_not_downloaded_again(
    client: Any, picture: Picture, tmp_path: Path
) -> None:
    content = picture(64, 64)
    job = client.submit(content, wait_s=60, **LIGHT)
    target = tmp_path / "original.png"
    target.write_bytes(b"broken")
    assert client.download_layer(job.job_id, "original", target).read_bytes() == content
    before = target.stat()
    client.download_layer(job.job_id, "original", target)
    assert target.stat().st_ino == before.st_ino, "the file was not written again"
