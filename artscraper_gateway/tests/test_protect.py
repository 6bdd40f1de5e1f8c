"""POST /v1/protect, `layers/final`, links, names of downloads, conditions of requests, HEAD."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

import httpx
import pytest
from fastapi.routing import APIRoute
from PIL import Image

from artscraper_gateway import GatewayConfig, create_app
from artscraper_gateway.api.files import content_disposition, layer_name
from artscraper_gateway.intake.download import name_of_url
from artscraper_gateway.intake.upload import MAX_NAME, clean_file_name
from artscraper_gateway.tests.gateway_process import until
from artscraper_gateway.tests.support.in_process import InProcessGateway

pytestmark = pytest.mark.api
Picture = Callable[..., bytes]
Start = Callable[..., InProcessGateway]
MARKED = {"stages": "invisible-watermark", "include_hash_analysis": "false"}
UNTOUCHED = {"include_protection": "false", "include_hash_analysis": "false"}


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessGateway]:
    """A gateway without workers, which waits for at most a second."""
    options = {"worker_concurrency": 0, "max_wait": 1}
    process = InProcessGateway(tmp_path_factory.mktemp("idle"), options).start()
    yield process
    process.stop()


def protect(
    client: httpx.Client, content: bytes, name: str = "in.png", **more: object
) -> httpx.Response:
    return client.post("/v1/protect", files={"file": (name, content)}, **more)  # type: ignore[arg-type]


def test_protect_returns_the_picture(client: httpx.Client, picture: Picture) -> None:
    content = picture(300, 300)
    answer = protect(client, content, "my kitchen.png", params=MARKED)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == 'inline; filename="my kitchen-protected.png"'
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (300, 300)
    assert answer.content != content
    job_id = answer.headers["x-job-id"]
    state = client.get(f"/v1/jobs/{job_id}").json()
    assert f"<{state['links']['self']}>" in answer.headers["link"]
    assert (state["status"], state["name"]) == ("done", "my kitchen.png")
    final = client.get(state["links"]["final"])
    assert final.content == answer.content
    assert answer.headers["content-location"] == state["links"]["final"]
    named = client.get(f"/v1/jobs/{job_id}/layers/invisible-watermark")
    assert named.content == answer.content
    assert "watermark" not in named.headers["content-disposition"]
    assert client.get(f"/v1/jobs/{job_id}/masks/final").status_code == 200
    result = client.get(state["links"]["result"]).json()
    assert result["links"] == state["links"]
    for layer in result["summary"]["layers"]:
        assert client.get(layer["url"]).status_code == 200
        if "mask_url" in layer:
            assert client.get(layer["mask_url"]).status_code == 200


def test_options_may_be_form_fields_but_not_twice(client: httpx.Client, picture: Picture) -> None:
    content = picture(64, 64)
    assert protect(client, content, data=UNTOUCHED).content == content
    both = {"params": {"strength": "low"}, "data": {"strength": "high"}}
    twice = ["low", "high"]
    for more in (both, {"params": {"strength": twice}}, {"data": {"strength": twice}}):
        answer = protect(client, content, **more)
        assert answer.status_code == 422 and "strength" in answer.json()["detail"]
    answer = client.post("/v1/protect?seed=1", json={"local_path": "x", "seed": 2})
    assert answer.status_code == 422 and "seed" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"content": b""}, 415),
        ({"content": b"", "headers": {"Content-Type": "application/json"}}, 422),
        ({"data": {"strength": "low"}, "files": {"other": b"x"}}, 422),
        ({"files": {"file": b""}}, 415),
        ({"files": {"file": b"GIF8 no picture"}}, 422),
        ({"files": {"file": b"x"}, "params": {"colour": "red"}}, 422),
        ({"files": {"file": b"x"}, "params": {"file": "x"}}, 422),
        ({"files": {"file": b"x"}, "params": {"fawkes_target": "x"}}, 422),
        ({"files": {"file": b"x", "strength": ("low.txt", b"low")}}, 422),
        ({"files": {"file": b"x"}, "data": {"seed": "1,2"}}, 422),
        ({"files": {"file": b"x"}, "params": {"strength": "LOW\r\nX: 1"}}, 422),
        ({"files": {"file": b"x" * 53_000_000}}, 413),
    ],
    ids=[
        "nothing",
        "empty",
        "no file",
        "no bytes",
        "no picture",
        "unknown",
        "file twice",
        "text for a picture",
        "file for text",
        "two seeds",
        "header",
        "too large",
    ],
)
def test_invalid_input_is_a_problem(
    client: httpx.Client, sent: dict[str, object], status: int
) -> None:
    answer = client.post("/v1/protect", **sent)  # type: ignore[arg-type]
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_unknown_field_suggests_the_nearest(client: httpx.Client, picture: Picture) -> None:
    answer = protect(client, picture(64, 64), data={"Strenght": "low"})
    detail = answer.json()["detail"]
    assert answer.status_code == 422
    assert "did you mean 'strength'" in detail and "watermark_text" in detail
    answer = client.post("/v1/jobs", json={"image_uri": "https://example.org/a.png"})
    assert "did you mean 'image_url'" in answer.json()["detail"]


def test_long_job_is_202(idle: InProcessGateway, picture: Picture) -> None:
    with idle.client() as client:
        for headers in ({}, {"Prefer": "wait=0"}, {"Prefer": "respond-async"}):
            answer = protect(client, picture(64, 64), headers=headers)
            assert answer.status_code == 202 and answer.json()["status"] == "queued"
            assert answer.headers["location"] == answer.json()["links"]["self"]
            assert answer.headers["x-job-id"] == answer.json()["job_id"]
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json()["links"]["final"] is None
            waiting = client.get(f"/v1/jobs/{answer.json()['job_id']}/layers/final")
            assert waiting.status_code == 409


@pytest.mark.parametrize(
    ("header", "status"),
    [("", "error"), ("Prefer: wait=60\r\n", "queued"), ("Idempotency-Key: k1\r\n", "queued")],
    ids=["nothing", "wait", "key"],
)
def test_disconnect_cancels_the_job_unless_repeatable(
    start_app: Start, picture: Picture, header: str, status: str
) -> None:
    gateway = start_app(worker_concurrency=0)
    body = (
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        + picture(64, 64)
        + b"\r\n--B--\r\n"
    )
    host, port = gateway.base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"POST /v1/protect HTTP/1.1\r\nHost: localhost\r\n{header}"
            "Content-Type: multipart/form-data; boundary=B\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        with gateway.client() as client:
            until(lambda: client.get("/v1/jobs").json()["jobs"], what="the job is accepted")
    with gateway.client() as client:
        if status == "queued":
            time.sleep(4)
        until(
            lambda: client.get("/v1/jobs").json()["jobs"][0]["status"] == status,
            what="the job is as Prefer says",
            timeout_s=20,
        )


def test_failed_job_is_a_problem(start_app: Start, picture: Picture) -> None:
    gateway = start_app()
    with gateway.client() as client:
        whole = picture(300, 300)
        answer = protect(client, whole[: len(whole) // 2], data=MARKED)
        assert answer.status_code == 409 and answer.json()["code"] == "job-failed"


def test_form_without_closing_boundary_is_refused(client: httpx.Client, picture: Picture) -> None:
    head = b'--BB\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    field = b'\r\n--BB\r\nContent-Disposition: form-data; name="strength"\r\n\r\nlow'
    headers = {"Content-Type": "multipart/form-data; boundary=BB"}
    for end, status in ((b"", 422), (b"\r\n", 422), (b"\r\n--BB", 422), (b"\r\n--BB--\r\n", 202)):
        content = head + picture(64, 64) + field + end
        for path in ("/v1/jobs", "/v1/protect"):
            answer = client.post(
                path, content=content, headers={**headers, "Prefer": "respond-async"}
            )
            assert answer.status_code == status, (path, end, answer.text)
            if status == 422:
                assert "closing boundary" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("in.jpg", "in.jpg"),
        ("C:\\pictures\\in.jpg", "in.jpg"),
        ("../../etc/passwd", "passwd"),
        ("a?b#c%d.png", "a_b_c_d.png"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ("two\r\nlines.png", "twolines.png"),
        ("two%0D%0Alines %22x%22.png", "two__lines _x_.png"),
        ("\u200bzero\u200bwidth.png", "zerowidth.png"),
        ("Über Größe.png", "Über Größe.png"),
        ("e\u0301.png", "\u00e9.png"),
        ('"><script>.png', "___script_.png"),
        ("CON.png", None),
        ("...", None),
        ("", None),
        (None, None),
        ("???", None),
        ("x" * 300 + ".jpeg", "x" * (MAX_NAME - 5) + ".jpeg"),
    ],
)
def test_upload_names_are_sanitised(sent: str | None, kept: str | None) -> None:
    assert clean_file_name(sent) == kept


def test_names_are_taken_from_urls() -> None:
    assert name_of_url("https://example.org/a/b%2Fc.jpg?x=1#y") == "c.jpg"
    assert name_of_url("https://example.org/") is None
    assert name_of_url("https://[") is None


def test_download_names_are_safe() -> None:
    assert layer_name("in", index=3, is_final=True, suffix=".jpg") == "in-protected.jpg"
    assert layer_name("in", index=2, is_final=False, suffix=".jpg") == "in-layer-2.jpg"
    assert layer_name("in", index=0, is_final=True, suffix=".jpg") == "in-original.jpg"
    assert content_disposition("inline", "ü-protected.jpg") == (
        "inline; filename=\"u-protected.jpg\"; filename*=UTF-8''%C3%BC-protected.jpg"
    )
    assert content_disposition("inline", "日本.png") == (
        "inline; filename=\"picture.png\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC.png"
    )
    hostile = content_disposition("inline", 'a"; x="\r\nSet-Cookie: b\u202e.png')
    assert "\r" not in hostile and "\n" not in hostile and hostile.count('"') == 2


def test_file_names_are_stored_only_if_enabled(start_app: Start, picture: Picture) -> None:
    gateway = start_app(keep_names="no", show_paths="no")
    with gateway.client() as client:
        answer = protect(client, picture(64, 64), "secret.png", data=UNTOUCHED)
        assert 'filename="secret-original.png"' in answer.headers["content-disposition"]
        job_id = answer.headers["x-job-id"]
        state = client.get(f"/v1/jobs/{job_id}").json()
        assert state["name"] is None
        later = client.get(state["links"]["final"])
        assert "secret" not in later.headers["content-disposition"]
        result = client.get(state["links"]["result"])
        assert str(gateway.home) not in result.text
        assert result.json()["output_dir"] is None
        archive = client.get(state["links"]["archive"])
        assert archive.headers["content-disposition"].startswith("attachment; filename=")


def test_every_get_supports_head(client: httpx.Client, picture: Picture) -> None:
    answer = protect(client, picture(128, 128), params=MARKED)
    job = answer.headers["x-job-id"]
    batch = client.post("/v1/batches", files={"file": picture(64, 64)}, data=UNTOUCHED).json()
    batch_url = f"/v1/batches/{batch['batch_id']}"
    until(lambda: client.get(batch_url).json()["status"] == "done", what="the batch ends")
    ids = {
        "job_id": job,
        "stage": "final",
        "batch_id": batch["batch_id"],
        "language": "en",
    }
    tried = 0
    app = create_app(GatewayConfig())
    for path, operations in app.openapi()["paths"].items():
        if "get" not in operations:
            continue
        url = path.format(**ids)
        params = {"job": job} if path == "/v1/events" else {}
        head = client.head(url, params=params)
        assert head.status_code == 200, (url, head.text)
        assert head.content == b""
        if "events" not in path:
            full = client.get(url, params=params)
            assert head.headers["content-type"] == full.headers["content-type"], url
        tried += 1
    assert tried >= 14
    assert not any(isinstance(each, APIRoute) and "HEAD" in operations for each in app.routes)
    for path in ("/", "/docs", "/opt-out", "/robots.txt", "/.well-known/tdmrep.json"):
        assert client.head(path).status_code == 200, path


def test_conditional_requests_are_honoured(client: httpx.Client, picture: Picture) -> None:
    answer = protect(client, picture(64, 64), data=UNTOUCHED)
    url = f"/v1/jobs/{answer.headers['x-job-id']}/layers/final"
    full = client.get(url)
    tag, modified = full.headers["etag"], full.headers["last-modified"]
    before = format_datetime(datetime(2001, 1, 1, tzinfo=UTC), usegmt=True)
    after = format_datetime(datetime(2090, 1, 1, tzinfo=UTC), usegmt=True)
    assert parsedate_to_datetime(modified) > datetime(2001, 1, 1, tzinfo=UTC)
    cases: list[tuple[dict[str, str], int]] = [
        ({"If-Modified-Since": modified}, 304),
        ({"If-Modified-Since": after}, 304),
        ({"If-Modified-Since": before}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Modified-Since": modified, "If-None-Match": '"other"'}, 200),
        ({"If-None-Match": tag, "If-Modified-Since": before}, 304),
        ({"If-Match": tag}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": f'"other", {tag}'}, 200),
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": f"W/{tag}"}, 412),
        ({"If-Unmodified-Since": modified}, 200),
        ({"If-Unmodified-Since": before}, 412),
        ({"If-Unmodified-Since": before, "If-Match": tag}, 200),
        ({"If-Unmodified-Since": "\u00fcber".encode("latin-1").decode("latin-1")}, 200),
        ({"Range": "bytes=0-3", "If-Range": modified}, 206),
        ({"Range": "bytes=0-3", "If-Range": before}, 200),
    ]
    for headers, status in cases:
        for method in ("GET", "HEAD"):
            if method == "HEAD" and status == 206:
                continue
            raw = {name: value.encode("latin-1") for name, value in headers.items()}
            found = client.request(method, url, headers=raw)  # type: ignore[arg-type]
            assert found.status_code == status, (method, headers)
