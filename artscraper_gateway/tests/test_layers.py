"""Layers as files: ETag, 304, ranges, previews; and the archive of a job."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import shutil
import sqlite3
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from fastapi import Request
from fastapi.responses import StreamingResponse
from PIL import Image

from artscraper_gateway.api.files import serve_file
from artscraper_gateway.api.zipstream import stream_zip
from artscraper_gateway.errors import NotFound
from artscraper_gateway.tests.gateway_process import GatewayProcess, until
from artscraper_gateway.tests.support.in_process import InProcessGateway
from artscraper_gateway.tests.test_contract import LIGHT, submit

Picture = Callable[..., bytes]


@pytest.fixture
def layer(client: httpx.Client, picture: Picture) -> Iterator[tuple[str, bytes]]:
    """The address and the content of a layer."""
    content = picture(320, 240)
    job = submit(client, content, **LIGHT)
    yield f"/v1/jobs/{job['job_id']}/layers/original", content
    client.delete(f"/v1/jobs/{job['job_id']}")


def test_etag_is_the_sha256_and_gives_304(client: httpx.Client, layer: tuple[str, bytes]) -> None:
    url, content = layer
    tag = client.get(url).headers["etag"]
    assert tag == f'"{hashlib.sha256(content).hexdigest()}"'
    for known in (tag, f'"x", {tag}', f"W/{tag}", "*", [tag, '"x"'], ['"x"', tag]):
        lines = [known] if isinstance(known, str) else known
        answer = client.get(url, headers=[("If-None-Match", line) for line in lines])
        assert answer.status_code == 304
        assert answer.content == b"" and answer.headers["etag"] == tag
    assert client.get(url, headers={"If-None-Match": '"x"'}).content == content
    head = client.head(url)
    assert head.status_code == 200 and head.headers["content-length"] == str(len(content))
    part = client.head(url, headers={"Range": "bytes=0-9"})
    assert part.status_code == 200 and part.headers["content-length"] == str(len(content))


@pytest.mark.parametrize(
    ("requested", "first", "last"),
    [
        ("bytes=0-99", 0, 99),
        ("bytes=100-", 100, None),
        ("bytes=0-", 0, None),
        ("bytes=9-99999999", 9, None),
        ("bytes=-7", -7, None),
    ],
)
def test_range_returns_a_part(
    client: httpx.Client, layer: tuple[str, bytes], requested: str, first: int, last: int | None
) -> None:
    url, content = layer
    answer = client.get(url, headers={"Range": requested})
    begin = first % len(content)
    end = len(content) - 1 if last is None else last
    assert answer.status_code == 206
    assert answer.content == content[begin : end + 1]
    assert answer.headers["content-range"] == f"bytes {begin}-{end}/{len(content)}"


def test_if_range_of_another_version_returns_the_whole(
    client: httpx.Client, layer: tuple[str, bytes]
) -> None:
    url, _ = layer
    tag = client.get(url).headers["etag"]
    for known, status in ((tag, 206), ('"other"', 200)):
        answer = client.get(url, headers={"Range": "bytes=0-9", "If-Range": known})
        assert answer.status_code == status


@pytest.mark.parametrize("requested", ["bytes=99999999-", "bytes=99999999-99999999", "bytes=-0"])
def test_range_beyond_the_end_is_416(
    client: httpx.Client, layer: tuple[str, bytes], requested: str
) -> None:
    url, content = layer
    answer = client.get(url, headers={"Range": requested})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(content)}"
    assert answer.json()["code"] == "unsatisfiable-range"


@pytest.mark.parametrize(
    "requested", ["bytes=9-3", "lines=1-2", "bytes=", "bytes=a-b", "bytes=1-2,4-5"]
)
def test_unknown_range_unit_is_ignored(
    client: httpx.Client, layer: tuple[str, bytes], requested: str
) -> None:
    url, content = layer
    answer = client.get(url, headers={"Range": requested})
    assert (answer.status_code, answer.content) == (200, content)


def test_file_deleted_during_a_response_is_sent_completely(tmp_path: Path) -> None:
    path = tmp_path / "final.png"
    path.write_bytes(content := bytes(range(256)) * 2048)
    answer = serve_file(
        Request({"type": "http", "method": "GET", "headers": []}),
        path,
        media_type="image/png",
        filename="final.png",
    )
    path.unlink()

    async def read() -> bytes:
        assert isinstance(answer, StreamingResponse)
        return b"".join([bytes(chunk) async for chunk in answer.body_iterator])  # type: ignore[arg-type]

    assert asyncio.run(read()) == content


def test_missing_file_is_404(tmp_path: Path) -> None:
    request = Request({"type": "http", "method": "GET", "headers": []})
    with pytest.raises(NotFound):
        serve_file(request, tmp_path / "gone.png", media_type="image/png", filename="gone.png")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("*/*", "WEBP"), ("image/avif,image/webp,*/*", "WEBP"), ("image/jpeg", "JPEG")],
)
def test_preview_is_small_and_cached(
    client: httpx.Client,
    gateway: InProcessGateway,
    layer: tuple[str, bytes],
    accept: str,
    kind: str,
) -> None:
    url, _ = layer
    answer = client.get(url, params={"size": 200}, headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"image/{kind.lower()}"
    assert answer.headers["x-content-type-options"] == "nosniff"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.format, image.size) == (kind, (200, 150))
    (kept,) = (gateway.base_dir / url.split("/")[3] / "previews").iterdir()
    made = kept.stat().st_mtime_ns
    again = client.get(url, params={"size": 200}, headers={"Accept": accept})
    assert again.headers["etag"] == answer.headers["etag"]
    assert kept.stat().st_mtime_ns == made
    tag = {"If-None-Match": answer.headers["etag"], "Accept": accept}
    assert client.get(url, params={"size": 200}, headers=tag).status_code == 304


def test_preview_is_never_larger_than_layer(client: httpx.Client, layer: tuple[str, bytes]) -> None:
    answer = client.get(layer[0], params={"size": 2048})
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (320, 240)


@pytest.mark.parametrize("size", ["0", "15", "2049", "-1", "big", "1e3"])
def test_invalid_preview_sizes_are_refused(
    client: httpx.Client, layer: tuple[str, bytes], size: str
) -> None:
    answer = client.get(layer[0], params={"size": size})
    assert answer.status_code == 422 and "size" in answer.json()["detail"]


def test_undecodable_picture_has_no_preview(
    client: httpx.Client, gateway: InProcessGateway, picture: Picture
) -> None:
    """Its header is sound, so it is accepted, and a job of no stages never decodes it."""
    whole = picture(400, 400)
    job = submit(client, whole[: len(whole) // 2], **LIGHT)
    url = f"/v1/jobs/{job['job_id']}/layers/original"
    answer = client.get(url, params={"size": 100})
    assert answer.status_code == 422 and answer.json()["code"] == "broken-picture"
    assert client.get(url).status_code == 200
    assert not list((gateway.base_dir / job["job_id"] / "previews").iterdir())


def test_archive_holds_every_file_unchanged(
    client: httpx.Client, gateway: InProcessGateway, picture: Picture
) -> None:
    job = submit(client, picture(200, 200), stages="invisible-watermark")
    answer = client.get(f"/v1/jobs/{job['job_id']}/archive.zip")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    output = gateway.outputs / job["job_id"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist()}
    stored = {
        str(path.relative_to(output)): path.read_bytes()
        for path in output.rglob("*")
        if path.is_file()
    }
    assert found == stored
    assert {"summary.json", "analysis.json"} < found.keys() and len(found) >= 5
    assert json.loads(found["summary.json"])["layers"][1]["stage"] == "invisible-watermark"


def test_original_is_available_before_job_end(
    start_app: Callable[..., InProcessGateway], picture: Picture
) -> None:
    content = picture(400, 300)
    with start_app(worker_concurrency=0).client() as idle:
        job_id = idle.post("/v1/jobs", files={"file": content}).json()["job_id"]
        url = f"/v1/jobs/{job_id}/layers/original"
        for _ in ("queued", "cancelled"):
            answer = idle.get(url)
            assert answer.content == content and answer.headers["content-type"] == "image/png"
            with Image.open(io.BytesIO(idle.get(url, params={"size": 100}).content)) as preview:
                assert preview.size == (100, 75)
            assert idle.post(f"/v1/jobs/{job_id}/cancel").status_code == 200
        assert idle.get(f"/v1/jobs/{job_id}/layers/mist").status_code == 409
        assert idle.delete(f"/v1/jobs/{job_id}").status_code == 200
        assert idle.get(url).status_code == 404


def test_archive_of_unknown_or_queued_job_is_refused(
    client: httpx.Client, start_app: Callable[..., InProcessGateway], picture: Picture
) -> None:
    assert client.get(f"/v1/jobs/{'0' * 32}/archive.zip").status_code == 404
    with start_app(worker_concurrency=0).client() as idle:
        job_id = idle.post("/v1/jobs", files={"file": picture()}).json()["job_id"]
        assert idle.get(f"/v1/jobs/{job_id}/archive.zip").status_code == 409


def test_large_archive_is_streamed(tmp_path: Path) -> None:
    """A sparse quarter of a gigabyte goes through; what is held at once stays near one chunk."""
    (tmp_path / "layers").mkdir()
    with (tmp_path / "layers" / "large.png").open("wb") as file:
        file.truncate(1 << 28)
    before = psutil.Process().memory_info().rss
    largest = total = grown = 0
    for number, chunk in enumerate(stream_zip([("job", tmp_path)])):
        largest, total = max(largest, len(chunk)), total + len(chunk)
        if number % 64 == 0:
            grown = max(grown, psutil.Process().memory_info().rss - before)
    assert total > 1 << 28
    assert largest < 1 << 20
    assert grown < 32 << 20


def test_missing_file_aborts_the_archive(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"x" * 1_000_000)
    chunks = stream_zip([("job", tmp_path)])
    next(chunks)
    (tmp_path / "b.png").unlink()
    with pytest.raises(FileNotFoundError):
        list(chunks)


def test_missing_results_are_404(
    gateway: InProcessGateway, client: httpx.Client, layer: tuple[str, bytes]
) -> None:
    job_id = layer[0].split("/")[3]
    until(lambda: client.get(f"/v1/jobs/{job_id}").json()["status"] == "done", what="it is done")
    shutil.rmtree(gateway.outputs / job_id / "layers")
    for query in ("", "?size=64"):
        answer = client.get(f"{layer[0]}{query}")
        assert answer.status_code == 404 and "no longer" in answer.json()["detail"]
    shutil.rmtree(gateway.outputs / job_id)
    for path in ("result", "layers/original", "masks/mist", "archive.zip"):
        answer = client.get(f"/v1/jobs/{job_id}/{path}")
        assert answer.status_code == 404 and "no longer" in answer.json()["detail"], path


def test_archive_aborts_when_jobs_are_deleted(
    start_gateway: Callable[..., GatewayProcess], picture: Picture
) -> None:
    gateway = start_gateway()
    files = [("file", picture(1500, 1400 + each)) for each in range(6)]
    with gateway.client() as client:
        batch = client.post("/v1/batches", files=files, data=LIGHT).json()
        url = f"/v1/batches/{batch['batch_id']}"
        until(lambda: client.get(url).json()["status"] == "done", what="the batch is done")
        with client.stream("GET", f"{url}/archive.zip") as answer:
            assert answer.status_code == 200
            chunks = answer.iter_raw()
            next(chunks)
            client.delete(f"/v1/jobs/{batch['jobs'][-1]['job_id']}")
            with pytest.raises(httpx.RemoteProtocolError):
                list(chunks)
    until(lambda: "the response is aborted" in gateway.log(), what="it is logged")
    assert "results are no longer" in gateway.log() and "Traceback" not in gateway.log()


def test_previews_of_a_deleted_job_are_removed(
    gateway: InProcessGateway, client: httpx.Client, picture: Picture
) -> None:
    content = picture(900, 900)
    with ThreadPoolExecutor(4) as pool:
        for pause_s in (0.0, 0.05, 0.1, 0.2, 0.3, 0.4):
            job_id = submit(client, content, **LIGHT)["job_id"]
            url = f"/v1/jobs/{job_id}/layers/original"
            requested = [pool.submit(client.get, url, params={"size": 50 + n}) for n in range(4)]
            time.sleep(pause_s)  # the moment of the deletion is what is tried
            assert client.delete(f"/v1/jobs/{job_id}").status_code == 200
            assert {each.result().status_code for each in requested} <= {200, 404}
            assert not (gateway.base_dir / job_id).exists()
            assert not (gateway.outputs / job_id).exists()


def test_previews_count_towards_job_bytes(
    gateway: InProcessGateway, client: httpx.Client, layer: tuple[str, bytes]
) -> None:
    url, content = layer
    job_id = url.split("/")[3]
    sizes = [len(client.get(url, params={"size": size}).content) for size in (200, 300, 300)]
    with sqlite3.connect(gateway.base_dir / "gateway.sqlite3") as database:
        query = "select disk_bytes from jobs where id = ?"
        (counted,) = database.execute(query, (job_id,)).fetchone()
    database.close()
    folders = (gateway.base_dir / job_id, gateway.outputs / job_id)
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert counted == sum(path.stat().st_size for path in files) > 2 * len(content)
    assert sizes[1] == sizes[2]


def test_archive_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "secret").write_text("key")
    (tmp_path / "job" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "job" / ".0123456789ab-half").write_text("half a file")
    (tmp_path / "job" / "a.json").write_text("{}")
    content = b"".join(stream_zip([("", tmp_path / "job")]))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["a.json"]
