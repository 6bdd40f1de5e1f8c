"""Broken connections, refusals that pass, and which calls are made again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from artscraper_gateway.client import Gateway, RetryPolicy, errors
from artscraper_gateway.tests.client.conftest import Blocking, Connect
from artscraper_gateway.tests.gateway_process import until
from artscraper_gateway.tests.support.cutting_proxy import cutting_proxy
from artscraper_gateway.tests.support.in_process import InProcessGateway

JOB = {
    "job_id": "a" * 32,
    "status": "queued",
    "submitted_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
}
RESULT = {
    "job_id": "a" * 32,
    "analysis": None,
    "output_dir": "/o",
    "summary": {"layers": [{"stage": "original", "path": "/o/image.png"}]},
}
ONCE = RetryPolicy(max_attempts=1, outage_s=0)
Answer = httpx.Response | Exception


def problem(status: int, code: str = "x", **headers: str) -> httpx.Response:
    body = {"type": "t", "title": "Title", "status": status, "detail": "detail", "code": code}
    return httpx.Response(status, json=body, headers=headers)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the pauses of clients without waiting.

    Only the clients' own modules are patched: gateways of other tests sleep in this process, too.
    """
    made: list[float] = []

    async def pause(seconds: float) -> None:
        made.append(seconds)

    sync_time = SimpleNamespace(sleep=made.append, monotonic=time.monotonic)
    async_io = SimpleNamespace(sleep=pause, to_thread=asyncio.to_thread)
    monkeypatch.setattr("artscraper_gateway.client._sync.time", sync_time)
    monkeypatch.setattr("artscraper_gateway.client._async.asyncio", async_io)
    return made


@pytest.fixture
def scripted(connect: Connect, pauses: list[float]) -> Callable[..., Any]:
    """A client that gets these responses in order; `requests` has its requests."""

    def make(*answers: Answer, url: str = "http://gateway", **options: Any) -> Any:
        left, requests = list(answers), []

        def answer(request: httpx.Request) -> httpx.Response:
            requests.append(request)
            found = left.pop(0)
            if isinstance(found, Exception):
                raise found
            # Made anew: a body can be read once, and cases share their answers.
            return httpx.Response(found.status_code, headers=found.headers, content=found.content)

        client = connect(url, **options)
        kind = httpx.AsyncClient if isinstance(client, Blocking) else httpx.Client
        inner = client.__dict__.get("_gateway", client)
        inner._http = kind(transport=httpx.MockTransport(answer))
        client.__dict__["requests"] = requests
        return client

    return make


def test_following_resumes_after_the_last_event(
    connect: Connect, start_app: Callable[..., InProcessGateway], picture: Callable[..., bytes]
) -> None:
    idle = start_app(worker_concurrency=0)
    with (
        cutting_proxy(idle.base_url) as proxy,
        Gateway(idle.base_url) as direct,
        ThreadPoolExecutor(1) as pool,
    ):
        job = direct.submit(picture(64, 64))
        seen: list[Any] = []
        client = connect(proxy.url)
        waiting = pool.submit(client.wait, job.job_id, on_change=seen.append, timeout_s=60)
        until(lambda: seen, what="the first event")
        proxy.cut()

        def connections() -> list[bytes]:
            return [head for head in proxy.requests if b"/events" in head]

        until(lambda: len(connections()) == 2, what="it connects again")
        direct.cancel(job.job_id)
        assert waiting.result(timeout=60).error_code == "cancelled"
        assert b"last-event-id" not in connections()[0].lower()
        assert b"last-event-id: 0" in connections()[1].lower()


def test_batch_is_polled_without_long_polling(
    scripted: Callable[..., Any], pauses: list[float]
) -> None:
    batch = {
        "batch_id": "b" * 32,
        "status": "queued",
        "submitted_at": JOB["submitted_at"],
        "counts": {"queued": 1},
        "jobs": [JOB],
        "refused": [],
    }
    waiting = [httpx.Response(200, json=batch), httpx.Response(200, json=JOB)]
    client = scripted(*waiting, *waiting, httpx.Response(200, json={**batch, "status": "done"}))
    assert client.wait_for_batch(batch["batch_id"]).status == "done"
    assert pauses == [0.5, 0.5]


def test_waiting_falls_back_to_polling_without_events(scripted: Callable[..., Any]) -> None:
    silent = problem(403)
    done = httpx.Response(200, json={**JOB, "status": "done", "progress": 1})
    client = scripted(silent, httpx.Response(200, json=JOB), silent, done, done)
    assert client.wait("a" * 32).status == "done"
    paths = [(each.url.path.rsplit("/", 1)[1], each.url.query) for each in client.requests]
    assert paths[0][0] == paths[2][0] == "events"
    assert paths[3] == ("a" * 32, b"wait=2.0"), "with more silence it waits at the gateway"


def test_keep_alive_comments_are_ignored(scripted: Callable[..., Any]) -> None:
    done = {**JOB, "status": "done", "progress": 1}
    body = (
        f"id: 1\nevent: snapshot\ndata: {json.dumps(JOB)}\n\n"
        ": ping\n\n"
        f"id: 2\nevent: stage\ndata: {json.dumps({'status': 'running', 'stage': 'mist'})}\n\n"
        ": ping\n\n: ping\n\n"
        f"id: 3\nevent: done\ndata: {json.dumps({'status': 'done', 'progress': 1.0})}\n\n"
    )
    headers = {"Content-Type": "text/event-stream"}
    seen: list[Any] = []
    client = scripted(
        httpx.Response(200, content=body, headers=headers), httpx.Response(200, json=done)
    )
    assert client.wait("a" * 32, on_change=seen.append).status == "done"
    stages = [(each.status, each.stage) for each in seen]
    assert stages == [("queued", None), ("running", "mist"), ("done", "mist"), ("done", None)]


def test_deleted_job_is_not_found_while_waiting(scripted: Callable[..., Any]) -> None:
    body = b"event: deleted\ndata: {}\n\n"
    stream = httpx.Response(200, content=body, headers={"Content-Type": "text/event-stream"})
    client = scripted(stream, problem(404, "not-found"))
    with pytest.raises(errors.NotFound):
        client.wait("a" * 32)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(
    scripted: Callable[..., Any], pauses: list[float], status: int
) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    client = scripted(
        problem(status, **{"Retry-After": "7"}),
        problem(status, **{"Retry-After": soon}),
        problem(status),
        httpx.Response(200, json=JOB),
    )
    assert client.submit(b"picture").status == "queued"
    assert pauses[0] == 7 and 25 < pauses[1] <= 30 and 0 < pauses[2] <= 4
    keys = {each.headers["idempotency-key"] for each in client.requests}
    assert len(keys) == 1 and keys != {""}, "the same key each time"


@pytest.mark.parametrize("odd", ["soon", "Mon, 01 Jan 2024 00:00:00 +99999999999", "-1", "1.5"])
def test_invalid_retry_after_is_ignored(
    scripted: Callable[..., Any], pauses: list[float], odd: str
) -> None:
    client = scripted(problem(503, **{"Retry-After": odd}), httpx.Response(200, json=JOB))
    assert client.submit(b"picture").status == "queued"
    assert len(pauses) == 1 and 0 < pauses[0] <= 0.5


def test_retry_after_beyond_max_wait_raises(
    scripted: Callable[..., Any], pauses: list[float]
) -> None:
    client = scripted(
        problem(429, "rate-limited", **{"Retry-After": "61"}),
        problem(429, "queue-full", **{"Retry-After": "61"}),
    )
    with pytest.raises(errors.TooManyRequests) as refused:
        client.submit(b"picture")
    assert refused.value.retry_after_s == 61 and refused.value.code == "rate-limited"
    assert str(refused.value) == "Title: detail" and not pauses
    with pytest.raises(errors.QueueFull):
        client.submit(b"picture")


def test_attempts_are_limited(scripted: Callable[..., Any], pauses: list[float]) -> None:
    broken = httpx.ConnectError("refused")
    client = scripted(*[broken] * 3, retry=RetryPolicy(max_attempts=3, outage_s=0))
    with pytest.raises(errors.Unreachable, match="no answer from http://gateway: ConnectError"):
        client.limits()
    assert len(client.requests) == 3 and len(pauses) == 2


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    """A clock that advances by the pauses that a client would make."""
    begun = time.monotonic()
    moving = SimpleNamespace(sleep=pauses.append, monotonic=lambda: begun + sum(pauses))
    for module in ("_sync", "_async", "events"):
        monkeypatch.setattr(f"artscraper_gateway.client.{module}.time", moving)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("failure", [httpx.ConnectError("refused"), problem(502), problem(503)])
def test_retries_outlast_a_restart_of_a_minute(
    scripted: Callable[..., Any], pauses: list[float], failure: Answer
) -> None:
    client = scripted(*[failure] * 300)
    with pytest.raises((errors.Unreachable, errors.Unavailable)):
        client.limits()
    assert 60 < sum(pauses) < 110
    assert max(pauses) <= 8
    short = scripted(*[failure] * 300, retry=RetryPolicy(outage_s=20))
    pauses.clear()
    with pytest.raises((errors.Unreachable, errors.Unavailable)):
        short.limits()
    assert 20 <= sum(pauses) < 40


@pytest.mark.usefixtures("clock")
def test_refused_connection_is_retried_for_every_request(
    scripted: Callable[..., Any], pauses: list[float]
) -> None:
    """It was not sent, so sending it again has no other effect."""
    client = scripted(*[httpx.ConnectError("refused")] * 300)
    with pytest.raises(errors.Unreachable):
        client.retry("a" * 32)
    assert sum(pauses) > 60
    pauses.clear()
    with pytest.raises(errors.Unavailable):
        scripted(problem(503)).retry("a" * 32)
    assert not pauses


@pytest.mark.usefixtures("clock")
def test_rate_limit_does_not_count_as_restart(scripted: Callable[..., Any]) -> None:
    client = scripted(*[problem(429)] * 300)
    with pytest.raises(errors.TooManyRequests):
        client.limits()
    assert len(client.requests) == 5


@pytest.mark.parametrize("call", [("retry", "a"), ("resend", "a", "b")])
@pytest.mark.parametrize("failure", [httpx.ReadError("lost"), problem(503), problem(429)])
def test_unsafe_requests_are_not_retried(
    scripted: Callable[..., Any], call: tuple[str, ...], failure: Answer
) -> None:
    client = scripted(failure)
    with pytest.raises((errors.Unreachable, errors.Problem)):
        getattr(client, call[0])(*call[1:])
    assert len(client.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 422, 500])
def test_permanent_errors_are_not_retried(scripted: Callable[..., Any], status: int) -> None:
    client = scripted(problem(status))
    with pytest.raises(errors.Problem) as refused:
        client.job("a")
    assert refused.value.status == status and len(client.requests) == 1


def test_repeated_deletion_succeeds(scripted: Callable[..., Any]) -> None:
    client = scripted(httpx.ReadError("lost"), problem(404, "not-found"))
    client.delete("a")
    with pytest.raises(errors.NotFound):
        scripted(problem(404, "not-found")).delete("a")


def test_retried_upload_starts_from_the_beginning(
    scripted: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "picture"
    file.write_bytes(b"content of the picture")
    sent: list[bytes] = []

    client = scripted(problem(503), httpx.Response(200, json=JOB))
    client.submit(file, seed=3, stages=["mist", "c2pa"], include_protection=True)
    for request in client.requests:
        body = asyncio.run(request.aread()) if isinstance(client, Blocking) else request.read()
        sent.append(body)
    assert len(sent) == 2
    for body in sent:
        assert b"content of the picture" in body and b"mist,c2pa" in body and b"true" in body
        assert str(file).encode() not in body, "names of files stay here"


def test_broken_download_is_retried_and_discarded(
    scripted: Callable[..., Any], tmp_path: Path
) -> None:
    whole = b"the whole picture"
    tag = {"ETag": f'"{hashlib.sha256(whole).hexdigest()}"'}
    target = tmp_path / "layer.png"
    client = scripted(
        httpx.ReadError("lost"),
        httpx.Response(200, content=b"other", headers=tag),
        httpx.Response(200, content=whole, headers=tag),
    )
    assert client.download_layer("a", "mist", target).read_bytes() == whole
    client = scripted(
        *[httpx.Response(200, content=b"other", headers=tag)] * 2, retry=RetryPolicy(max_attempts=2)
    )
    with pytest.raises(errors.DigestMismatch, match=r"layer\.png: expected SHA-256"):
        client.download_layer("a", "mist", target)
    assert target.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["layer.png"]


@pytest.mark.parametrize(
    "layer",
    [
        {"stage": "../../etc", "path": "/o/image.png"},
        {"stage": "mist", "path": "/o/image.sh"},
        {"stage": "Mist/..", "path": "/o/image.png"},
        {"stage": "mist"},
    ],
)
def test_layer_name_cannot_escape_the_folder(
    scripted: Callable[..., Any], tmp_path: Path, layer: dict[str, str]
) -> None:
    client = scripted(httpx.Response(200, json={**RESULT, "summary": {"layers": [layer]}}))
    with pytest.raises(errors.UnexpectedResponse):
        client.download("a", tmp_path / "in")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={**JOB, "status": "unknown"}),
    ],
)
def test_responses_of_another_server_are_explained(
    scripted: Callable[..., Any], answer: httpx.Response
) -> None:
    with pytest.raises(errors.UnexpectedResponse):
        scripted(answer).job("a")
    with pytest.raises(errors.Unavailable, match="Bad Gateway: status 502"):
        scripted(httpx.Response(502, text="<html>"), retry=ONCE).job("a")


def test_ids_are_escaped_in_paths(scripted: Callable[..., Any]) -> None:
    client = scripted(httpx.Response(200, json=JOB))
    client.job("../limits?x")
    assert client.requests[0].url.raw_path == b"/v1/jobs/..%2Flimits%3Fx"


def test_base_url_may_have_a_path(scripted: Callable[..., Any]) -> None:
    client = scripted(httpx.Response(200, json=JOB), url="http://gateway/studio/")
    client.job("a")
    assert client.requests[0].url.path == "/studio/v1/jobs/a"
