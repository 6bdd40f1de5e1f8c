"""Uploads that break off, that wait, and that find no room."""

from __future__ import annotations

import errno
import os
import re
import socket
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import SpooledTemporaryFile

import httpx
import pytest

from artscraper_gateway.storage.paths import is_job_id
from artscraper_gateway.tests.gateway_process import GatewayProcess, until
from artscraper_gateway.tests.support.in_process import InProcessGateway

Picture = Callable[..., bytes]


def test_aborted_upload_is_no_server_error(process_gateway: GatewayProcess) -> None:
    host, port = process_gateway.base_url.removeprefix("http://").split(":")
    before = process_gateway.log()

    def broken_off(client: httpx.Client) -> float:
        figure = r'artscraper_http_requests_total\{status="499"\} (\S+)'
        found = re.search(figure, client.get("/metrics").text)
        return float(found[1]) if found else 0.0

    with process_gateway.client() as client:
        so_far = broken_off(client)
        for media_type in ("multipart/form-data; boundary=x", "application/json"):
            head = f"POST /v1/jobs HTTP/1.1\r\nHost: h\r\nContent-Type: {media_type}\r\n"
            with socket.create_connection((host, int(port))) as connection:
                part = '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
                connection.sendall(f"{head}Content-Length: 60000\r\n\r\n{part}".encode())
                connection.sendall(bytes(20_000))  # less starts no request, so none is counted
        until(lambda: broken_off(client) == so_far + 2, what="both are noticed")
    assert "unexpected" not in process_gateway.log().removeprefix(before)
    assert "Traceback" not in process_gateway.log().removeprefix(before)


def test_large_upload_is_spooled_in_base_dir(
    start_app: Callable[..., InProcessGateway], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = start_app(worker_concurrency=0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no temporary folder"))
    before = sorted(gateway.base_dir.iterdir())
    with gateway.client() as client:
        answer = client.post("/v1/jobs", files={"file": bytes(3 * 1024 * 1024)})
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-picture")
        assert sorted(gateway.base_dir.iterdir()) == before
        monkeypatch.setattr(SpooledTemporaryFile, "write", no_room)
        answer = client.post("/v1/jobs", files={"file": bytes(3 * 1024 * 1024)})
        assert (answer.status_code, answer.json()["code"]) == (503, "storage-failed")


def no_room(_file: object, _data: bytes) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_uploads_do_not_wait_for_downloads(
    start_app: Callable[..., InProcessGateway], picture: Picture
) -> None:
    private = start_app(allow_private_addresses="yes", worker_concurrency=0)
    with (
        socket.create_server(("127.0.0.1", 0), backlog=64) as silent,
        private.client() as client,
        ThreadPoolExecutor(1) as pool,
    ):
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.png"
        slow = pool.submit(client.post, "/v1/batches", json={"items": [{"image_url": url}] * 20})
        silent.settimeout(60)
        calls = [silent.accept()[0] for _ in range(8)]  # as many as are fetched at a time
        files = [("file", picture(64, 64)), ("file", picture(65, 64))]
        assert client.post("/v1/batches", files=files).json()["counts"]["queued"] == 2
        assert not slow.done()
        assert sum(is_job_id(path.name) for path in private.base_dir.iterdir()) == 8 + 2
        for connection in calls:
            connection.close()
        silent.close()  # the others are refused
        assert slow.result().json()["code"] == "download-failed"


def test_full_disk_is_503(start_app: Callable[..., InProcessGateway], picture: Picture) -> None:
    gateway = start_app(worker_concurrency=0)
    moved = gateway.base_dir.with_name("moved")
    with gateway.client() as client:
        gateway.base_dir.rename(moved)
        gateway.base_dir.write_text("a file where the folder should be")
        answer = client.post("/v1/jobs", files={"file": picture(64, 64)})
        assert answer.status_code == 503
        assert answer.json()["code"] == "storage-failed"
        gateway.base_dir.unlink()
        moved.rename(gateway.base_dir)
        assert client.post("/v1/jobs", files={"file": picture(64, 64)}).status_code == 200
