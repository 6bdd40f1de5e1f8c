"""Hostile pictures, through the public interface."""

from __future__ import annotations

import io
import os
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from artscraper_gateway.tests.conftest import SAMPLES
from artscraper_gateway.tests.gateway_process import GatewayProcess
from artscraper_gateway.tests.support.in_process import InProcessGateway

WAIT = {"Prefer": "wait=170"}
Picture = Callable[..., bytes]


def upload(client: httpx.Client, content: bytes, name: str = "a.png") -> httpx.Response:
    """Submit a picture for one attack and the watermark, and wait for the job's end."""
    data = {"stages": "photoguard,invisible-watermark"}
    return client.post("/v1/jobs", files={"file": (name, content)}, data=data, headers=WAIT)


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def gif_of_frames(frames: int, side: int) -> bytes:
    """A GIF whose frames are one pixel each on a large canvas."""
    frame = b",\0\0\0\0\1\0\1\0\0" + b"\x02\x02\x44\x01\x00"
    return (
        b"GIF89a"
        + struct.pack("<HH", side, side)
        + b"\x80\0\0"
        + b"\0\0\0\xff\xff\xff"
        + (frame * frames + b";")
    )


def zip_text_bomb() -> bytes:
    """Return a PNG whose compressed text chunk unpacks to 200 MB."""
    base = png_claiming(8, 8)
    data = b"Comment\0\0" + zlib.compress(b"x" * 200_000_000, 9)
    chunk = struct.pack(">I", len(data)) + b"zTXt" + data
    return base[:33] + chunk + struct.pack(">I", zlib.crc32(b"zTXt" + data)) + base[33:]


def test_small_gif_of_many_frames_is_too_large(client: httpx.Client) -> None:
    content = gif_of_frames(20_000, 1000)
    assert len(content) < 330_000
    answer = upload(client, content, "a.gif")
    assert answer.status_code == 413
    assert "frames" in answer.json()["detail"]


def test_png_declaring_four_gigabytes_is_too_large(client: httpx.Client) -> None:
    assert upload(client, png_claiming(36_000, 36_000)).status_code == 413
    assert upload(client, png_claiming(16_000, 16_000)).status_code == 413


def test_side_over_limit_is_too_large(client: httpx.Client) -> None:
    answer = upload(client, png_claiming(16_385, 1))
    assert answer.status_code == 413
    assert "16384" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 415),
        (b"\0", 415),
        (b"hello, I am a picture", 415),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", 415),
        (b"%PDF-1.7\n", 415),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 415),
        (b"\xd7\xcd\xc6\x9a" + b"\0" * 100, 415),  # WMF
        (b"SIMPLE  =                    T" + b" " * 2850, 415),  # FITS
        (b"\x89PNG\r\n\x1a\n", 422),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 64, 422),
        (b"\xff\xd8\xff\xe0" + b"\0" * 64, 422),
        (b"GIF89a\1\0\1\0\0\0\0", 422),
        (b"RIFF\4\0\0\0WEBP", 422),
        (b"II*\0\xff\xff\xff\x7f", 422),
        (b"BM" + b"\xff" * 60, 422),
    ],
)
def test_file_type_is_detected_by_content(
    client: httpx.Client, content: bytes, status: int
) -> None:
    answer = upload(client, content, "honest.png")
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def png(colour_type: int, depth: int, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", 4, 4, depth, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(b"\0" * 200)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (png(3, 8), "palette"),
        (png(2, 16, (b"cICP", bytes((9, 16, 0, 1)))), "HDR"),
    ],
)
def test_unsupported_variant_is_refused_with_reason(
    client: httpx.Client, content: bytes, reason: str
) -> None:
    answer = upload(client, content)
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]


def test_refused_upload_leaves_no_file(client: httpx.Client, gateway: InProcessGateway) -> None:
    before = set(gateway.base_dir.iterdir())
    assert upload(client, b"hello").status_code == 415
    assert set(gateway.base_dir.iterdir()) == before


@pytest.mark.parametrize("cut", [0.3, 0.7, 0.99])
def test_truncated_jpeg_fails_the_job_with_a_clear_error(client: httpx.Client, cut: float) -> None:
    content = SAMPLES[0].read_bytes()
    answer = upload(client, content[: int(len(content) * cut)], "a.jpg")
    assert answer.status_code == 200
    assert answer.json()["status"] == "error"
    assert "truncated" in answer.json()["error"] or "decoded" in answer.json()["error"]


def test_png_text_bomb_is_bounded(
    process_client: httpx.Client, process_gateway: GatewayProcess
) -> None:
    before = _memory_mb(process_gateway)
    answer = process_client.post(
        "/v1/jobs",
        files={"file": ("a.png", zip_text_bomb())},
        data={"include_protection": "false"},  # an attack alone needs more than that
        headers=WAIT,
    )
    assert answer.json()["status"] == "done"  # the text is left out, as viewers do
    assert _memory_mb(process_gateway) - before < 200


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0teSt\0\0\0\0" * 1_000_000,
        lambda: b"GIF89a\1\0\1\0\0\0\0!\xfe" + b"\1x" * 5_000_000 + b"\0;",
        lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 2_000_000,
        lambda: b"II*\0\x08\0\0\0" + (b"\xff\xff" + b"\0" * (65_535 * 12) + b"\x08\0\0\0"),
    ],
    ids=["png-chunks", "gif-sub-blocks", "jpeg-segments", "tiff-directory-loop"],
)
def test_file_of_tiny_chunks_is_refused_at_once(
    process_client: httpx.Client, process_gateway: GatewayProcess, make: Callable[[], bytes]
) -> None:
    content = make()
    before = _memory_mb(process_gateway)
    answer = upload(process_client, content)
    assert answer.status_code in (413, 415, 422), answer.text
    assert _memory_mb(process_gateway) - before < 300


@pytest.mark.usefixtures("one_iteration")
@pytest.mark.parametrize(
    ("kind", "mode", "size", "save"),
    [
        ("PNG", "1", (272, 256), {}),
        ("PNG", "L", (272, 256), {}),
        ("PNG", "P", (272, 256), {}),
        ("PNG", "RGBA", (272, 256), {}),
        ("PNG", "LA", (272, 256), {}),
        ("GIF", "P", (272, 256), {}),
        ("JPEG", "L", (272, 256), {}),
        ("JPEG", "CMYK", (272, 256), {}),
        ("TIFF", "RGB", (272, 256), {}),
        ("TIFF", "CMYK", (272, 256), {}),
        ("BMP", "RGB", (272, 256), {}),
        ("WEBP", "RGB", (272, 256), {"lossless": True}),
        ("WEBP", "RGBA", (272, 256), {"quality": 80}),
        ("AVIF", "RGB", (272, 256), {}),
        ("PNG", "RGB", (1, 1), {}),
        ("PNG", "RGB", (3000, 5), {}),
        ("JPEG", "RGB", (8, 8), {}),
    ],
)
def test_unusual_pictures_are_processed(
    client: httpx.Client,
    picture: Picture,
    kind: str,
    mode: str,
    size: tuple[int, int],
    save: dict[str, Any],
) -> None:
    answer = upload(client, picture(*size, kind=kind, mode=mode, **save), "wrong.extension")
    job = answer.json()
    assert job["status"] == "done", job
    layers = client.get(f"/v1/jobs/{job['job_id']}/result").json()["summary"]["layers"]
    for layer in layers:
        served = client.get(f"/v1/jobs/{job['job_id']}/layers/{layer['stage']}")
        with Image.open(io.BytesIO(served.content)) as image:
            assert image.size == size
        assert layer["applied"] or layer["reason"]


@pytest.mark.usefixtures("one_iteration")
def test_sixteen_bit_animated_and_rotated_pictures_are_processed(client: httpx.Client) -> None:
    deep = Image.fromarray(np.arange(73_984, dtype=np.uint32).astype(np.uint16).reshape(272, 272))
    frames = [Image.new("RGB", (256, 256), (n * 40, 90, 10)) for n in range(4)]
    exif = Image.Exif()
    exif[0x0112] = 6
    for image, kind, save in (
        (deep, "PNG", {}),
        (frames[0], "GIF", {"save_all": True, "append_images": frames[1:]}),
        (frames[0], "WEBP", {"save_all": True, "append_images": frames[1:]}),
        (frames[0], "PNG", {"save_all": True, "append_images": frames[1:]}),
        (Image.new("RGB", (300, 260), "teal"), "JPEG", {"exif": exif}),
    ):
        buffer = io.BytesIO()
        image.save(buffer, kind, **save)
        job = upload(client, buffer.getvalue()).json()
        assert job["status"] == "done", job
        layers = client.get(f"/v1/jobs/{job['job_id']}/result").json()["summary"]["layers"]
        if "append_images" in save:
            assert "first of 4 frames" in layers[0]["reason"]


@pytest.mark.usefixtures("one_iteration")
def test_huge_invalid_profile_is_ignored(client: httpx.Client, picture: Picture) -> None:
    answer = upload(client, picture(272, 256, kind="JPEG", icc_profile=os.urandom(3_000_000)))
    assert answer.status_code == 200
    assert answer.json()["status"] == "done", answer.text


@pytest.mark.usefixtures("one_iteration")
@pytest.mark.parametrize("name", ["../../evil.png", "a\0b.png", "/etc/passwd", "x" * 300, "…/ü"])
def test_file_names_are_not_used_in_paths(
    client: httpx.Client, gateway: InProcessGateway, picture: Picture, name: str
) -> None:
    answer = upload(client, picture(64, 64), name)
    assert answer.json()["status"] == "done"
    (staged,) = (gateway.base_dir / answer.json()["job_id"] / "input").iterdir()
    assert staged.name == "image.png"
    assert not list(gateway.home.rglob("*evil*"))


def test_upload_over_limit_is_413(
    start_app: Callable[..., InProcessGateway], picture: Picture
) -> None:
    small = start_app(max_upload_bytes=100_000, worker_concurrency=0)
    content = picture(400, 400)
    assert len(content) > 100_000
    with small.client() as client:
        assert upload(client, content).status_code == 413
        form = httpx.Request("POST", "http://a", files={"file": content + b"\0" * 3_000_000})
        body = form.read()

        def pieces() -> Iterator[bytes]:
            for start in range(0, len(body), 65_536):
                yield body[start : start + 65_536]

        headers = {"Content-Type": form.headers["content-type"]}
        answer = client.post("/v1/jobs", content=pieces(), headers=headers)
        assert answer.status_code == 413
        assert answer.json()["code"] == "too-large"
        small_one = {"file": picture(64, 64)}
        assert client.post("/v1/jobs", files=small_one).status_code == 200
    assert len([path for path in small.base_dir.iterdir() if len(path.name) == 32]) == 1


def test_endless_request_body_is_cut_off(client: httpx.Client, gateway: InProcessGateway) -> None:
    host, port = gateway.base_url.removeprefix("http://").split(":")
    head = (
        b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    start = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    sent = 0
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(head + b"%x\r\n%s\r\n" % (len(start), start))
        try:
            while sent < 400 * 1024**2:
                connection.sendall(chunk)
                sent += 0x10000
        except OSError:
            pass
    assert sent < 400 * 1024**2
    assert client.get("/v1/jobs/none").status_code == 404


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/a.png",
        "http://[::1]/a.png",
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:127.0.0.1]/",
        "http://[2002:7f00:1::]/",
        "http://[64:ff9b::7f00:1]/",
        "http://localhost/a.png",
        "http://2130706433/",
        "http://0x7f.1/",
        "file:///etc/passwd",
        "ftp://example.org/a.png",
        "http://user:password@127.0.0.1/",
        "//127.0.0.1/",
        "",
    ],
)
def test_image_urls_to_forbidden_addresses_are_refused(client: httpx.Client, url: str) -> None:
    answer = client.post("/v1/jobs", json={"image_url": url})
    assert answer.status_code == 422
    assert answer.json()["code"] == "forbidden-address", answer.text


def test_image_url_redirect_to_forbidden_address_is_refused(
    start_app: Callable[..., InProcessGateway],
) -> None:
    """The first hop is on an allowed private network; link-local is refused even there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_once() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(
                    b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n"
                    b"Content-Length: 0\r\n\r\n"
                )

        thread = threading.Thread(target=answer_once)
        thread.start()
        private = start_app(allow_private_addresses="yes", worker_concurrency=0)
        with private.client() as client:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/a.png"
            answer = client.post("/v1/jobs", json={"image_url": url})
        thread.join()
    assert answer.status_code == 422
    assert answer.json()["code"] == "forbidden-address"


def test_local_path_outside_roots_looks_missing(
    start_gateway: Callable[..., GatewayProcess], tmp_path: Path
) -> None:
    root = tmp_path / "input"
    root.mkdir()
    (root / "link.png").symlink_to("/etc/passwd")
    (root / "folder").mkdir()
    os.mkfifo(root / "pipe.png")
    answers = []
    with start_gateway(worker_concurrency=0).client() as client:
        for path in (
            "/etc/passwd",
            "input/../../../../etc/passwd",
            "input/link.png",
            "input/folder",
            "input/pipe.png",
            "input/missing.png",
            "missing.png",
            "in\0put/a.png",
            "~/a.png",
            str(tmp_path / "gateway.log"),
        ):
            answer = client.post("/v1/jobs", json={"local_path": path})
            assert answer.status_code == 422, path
            answers.append(answer.json())
        (root / "good.jpg").write_bytes(SAMPLES[0].read_bytes())
        assert client.post("/v1/jobs", json={"local_path": "input/good.jpg"}).status_code == 200
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["code"] == "unusable-local-path"


def _memory_mb(gateway: GatewayProcess) -> float:
    process = psutil.Process(gateway.pid)
    family = [process, *process.children()]
    return sum(member.memory_info().rss for member in family) / 1e6
