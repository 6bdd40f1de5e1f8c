"""Every problem that the OpenAPI description states of a route occurs, and as it says."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from artscraper_gateway.db.engine import _readers
from artscraper_gateway.errors import (
    BrokenPicture,
    DiskFull,
    DownloadFailed,
    ForbiddenAddress,
    GatewayError,
    InvalidRequest,
    StorageFailed,
    TooLarge,
    UnsupportedPicture,
)
from artscraper_gateway.jobs import submission
from artscraper_gateway.jobs.submission import Submission
from artscraper_gateway.storage.base import Storage
from artscraper_gateway.tests.openapi_world import (
    LIGHT,
    UNKNOWN_ID,
    World,
    body,
    filled,
    operations,
)

_CHANGED: dict[str, type[GatewayError]] = {
    kind.code: kind
    for kind in (InvalidRequest, ForbiddenAddress, TooLarge, UnsupportedPicture, BrokenPicture)
}
INVALID: dict[tuple[str, str], dict[str, Any]] = {
    ("get", "/v1/jobs"): {"params": {"page_size": 0}},
    ("post", "/v1/jobs"): {"json": {"colour": "red"}},
    ("post", "/v1/jobs/retry"): {"json": {"limit": 0}},
    ("post", "/v1/protect"): {"json": {"colour": "red"}},
    ("post", "/v1/jobs/{job_id}/layers/{stage}/link"): {"params": {"expires_in": 0}},
    ("post", "/v1/batches"): {"json": {"items": []}},
    ("get", "/v1/jobs/{job_id}"): {"params": {"wait": -1}},
    ("get", "/v1/jobs/{job_id}/layers/{stage}"): {"params": {"size": 1}},
    ("get", "/v1/events"): {},
    ("get", "/readyz"): {"params": {"ignore": "nothing"}},
    ("post", "/v1/watermarks/read"): {"files": {"other": b""}},
    ("post", "/v1/strength-previews"): {"files": {"other": b""}},
    ("post", "/v1/session"): {"json": {"key": 7}},
}


@contextmanager
def failing_database(world: World, error: Exception) -> Iterator[None]:
    """Make every statement of the app's engine raise `error`."""
    engine = world.app.state.services.store.engine

    def fail(*_: Any) -> None:
        raise error

    keyring = world.app.state.services.keyring
    keyring._keys, keyring._read_at = None, float("-inf")  # as when it starts
    engines = {engine, _readers.get(engine, engine)}
    for each in engines:
        sa.event.listen(each, "before_cursor_execute", fail)
    try:
        yield
    finally:
        for each in engines:
            sa.event.remove(each, "before_cursor_execute", fail)


OUTAGE = sa.exc.OperationalError("SELECT", None, Exception("away"), connection_invalidated=True)
NO_ROOM = sqlite3.OperationalError("database or disk is full")
NO_ROOM.sqlite_errorcode = sqlite3.SQLITE_FULL
FULL = sa.exc.OperationalError("UPDATE", None, NO_ROOM)


def provoke(world: World, method: str, path: str, code: str, patch: Any) -> httpx.Response:
    """Make the call that the route answers with the problem `code`."""
    if code in ("unknown-host", "foreign-origin"):
        headers = {"unknown-host": {"Host": "a b"}, "foreign-origin": {"Origin": "https://a.b"}}
        return world.call(method, filled(path, job=UNKNOWN_ID), headers=headers[code])
    if path == "/readyz":
        _make_unready(world, code, patch)
    good = body(world, method, path)
    ids = {"job": world.done, "batch": world.done_batch, "delivery": world.delivery()}
    if code == "unauthorized":
        more = {"json": {"key": "ask_0"}} if path == "/v1/session" else good
        return world.call(method, filled(path, **ids), key="", **more)
    if code == "forbidden":
        return _forbidden(world, method, filled(path, **ids), good)
    if path.endswith("{job_id}/retry") and code in _CHANGED:
        return _refuse_again(world, path, code, patch)
    if code == "rate-limited":
        return world.call(method, filled(path, **ids), key="spent", **good)
    if code == "internal-error":
        if path == "/v1/limits":
            patch.setattr("artscraper_gateway.api.routes.limits.default_stages", None)
        with failing_database(world, RuntimeError("broken")):
            return world.call(method, filled(path, **ids), **good)
    if code == "database-away" or (code == "disk-full" and path != "/readyz"):
        with failing_database(world, OUTAGE if code == "database-away" else FULL):
            return world.call(method, filled(path, **ids), **good)
    if code == "not-found":
        return world.call(method, filled(path, job=UNKNOWN_ID), **good)
    if code == "not-ready":
        waiting = {"job": world.waiting, "batch": world.waiting_batch}
        return world.call(method, filled(path, **waiting, is_unfinished=True), **good)
    if code == "job-failed" and path == "/v1/protect":
        headers = {"Idempotency-Key": "fails", "Prefer": "respond-async"}
        waiting = {"files": good["files"], "headers": headers}
        accepted = world.call(method, path, **waiting)
        world.call("post", f"/v1/jobs/{accepted.headers['x-job-id']}/cancel")
        return world.call(method, path, **waiting)
    if code == "job-failed":
        return world.call(method, filled(path, job=world.failed, is_unfinished=True), **good)
    if code == "invalid-request":
        return world.call(method, filled(path, **ids), **INVALID[method, path])
    if code == "unsatisfiable-range":
        ids["job"] = world.masked
        headers = {"Range": "bytes=999999999-"}
        return world.call(method, filled(path, **ids), headers=headers)
    if path == "/readyz":
        return world.call(method, path)
    if path == "/v1/session":
        return world.call(method, path, key="", content=b" " * 5000)
    if code == "link-not-valid":
        query = {"expires": "1", "signature": "x"}
        return world.call(method, filled(path, **ids), params=query)
    if code == "precondition-failed":
        ids["job"] = world.masked
        return world.call(method, filled(path, **ids), headers={"If-Match": '"x"'})
    if code == "queue-full":
        refused = filled(path, job=world.refused)
        more = {**good, "data": {}} if "files" in good else good
        return world.call(method, refused, key="full", **more)
    return _refuse_picture(world, method, path, code, patch, ids)


def _refuse_again(world: World, path: str, code: str, patch: Any) -> httpx.Response:
    """Settings, or what the gateway reads, changed after the job was accepted."""
    kind = _CHANGED[code]

    def refuse(*_: Any, **__: Any) -> None:
        raise kind("not any more")

    choice = code in ("invalid-request", "forbidden-address")
    target = (submission, "resolve_request") if choice else (Submission, "check_header")
    patch.setattr(*target, refuse)
    return world.call("post", filled(path, job=world.failed))


def _make_unready(world: World, code: str, patch: Any) -> None:
    readiness = world.app.state.services.readiness
    readiness._looked_at = float("-inf")
    patch.setattr(readiness, "is_draining", code == "draining")
    full = {"max_queued": 1} if code == "queue-full" else {}
    patch.setattr(readiness, "config", readiness.config.model_copy(update=full))
    problems = {"disk-full": DiskFull("no room"), "storage-failed": StorageFailed("away")}
    patch.setattr(readiness.health, "problem", lambda: problems.get(code))
    hung = "slot 0 hung" if code == "workers-down" else None
    patch.setattr(readiness, "workers_problem", lambda: hung)


def _forbidden(world: World, method: str, path: str, good: dict[str, Any]) -> httpx.Response:
    if path == "/v1/session":
        if method == "post":
            return world.call(method, path, headers={"Sec-Fetch-Site": "same-site"}, **good)
        cookie = {"Cookie": f"artscraper_key={world.keys['admin']}"}
        return world.call(method, path, key="", headers=cookie)
    answers = [world.call(method, path, key=key, **good) for key in ("read", "delete")]
    return next(each for each in answers if each.status_code == 403)


def _refuse_picture(
    world: World, method: str, path: str, code: str, patch: Any, ids: dict[str, str]
) -> httpx.Response:
    contents = {
        "too-large": b"\x89PNG\r\n\x1a\n" + b"x" * 500_000,
        "unsupported-picture": b"text",
        "broken-picture": world.picture(64, 64)[:40],
    }
    if code in contents:
        good = body(world, "post", path)
        return world.call("post", path, **{**good, "files": {"file": contents[code]}})
    named = {
        "forbidden-address": {"image_url": "http://127.0.0.1/a.png"},
        "download-failed": {"image_url": "http://203.0.114.1/a.png"},
        "unusable-local-path": {"local_path": "/none/a.png"},
    }
    if code == "download-failed":

        async def fail(*_: Any, **__: Any) -> None:
            raise DownloadFailed("The server answered with status 404, expected 200.")

        patch.setattr("artscraper_gateway.api.forms.download", fail)
    if code in named:
        content = {"items": [named[code]]} if "batches" in path else named[code]
        return world.call("post", path, json=content)
    if code == "unsupported-request-body":
        return world.call("post", path, content=b"x", headers={"Content-Type": "text/plain"})
    if code == "idempotency-key-reused":
        headers = {"Idempotency-Key": f"k{path}"}
        for width in (64, 65):
            files = {"file": world.picture(width, 64)}
            answer = world.call("post", path, files=files, data=LIGHT, headers=headers)
        return answer
    if code == "storage-failed" and (method == "get" or path.endswith("/link")):
        patch.setattr(Storage, "output", _no_space)
        ids["job"] = world.masked
        return world.call(method, filled(path, **ids))
    if code == "storage-failed":
        is_in_memory = "watermarks" in path or "strength" in path
        patch.setattr(Path, "open" if is_in_memory else "mkdir", _no_space)
        ids["job"] = world.failed
        return world.call("post", filled(path, **ids), **body(world, "post", path))
    assert code == "too-busy", code
    gateway = world.app.state.services
    patch.setattr("artscraper_gateway.jobs.watcher._MAX_SUBSCRIPTIONS", 0)
    for processes in (gateway.reader.processes, gateway.previews.processes):
        patch.setattr(processes, "slots", asyncio.Semaphore(0))
        patch.setattr(processes, "waiting", 0)
    patch.setattr("artscraper_gateway.sandbox.strength_previews._WAITING", 0)
    params = {"wait": 1} if path.endswith("{job_id}") else {"size": 33}
    if "events" in path:
        params = {} if "{job_id}" in path else {"job": world.waiting}
    ids["job"] = world.done if "size" in params else world.waiting
    if "watermarks" in path or "strength" in path:
        return world.call("post", path, **body(world, "post", path))
    if path == "/v1/protect":
        return world.call("post", path, files={"file": world.picture(64, 64)})
    return world.call("get", filled(path, **ids), params=params)


def _no_space(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


def test_documented_problems_occur(world: World, tmp_path: Path) -> None:
    walked = 0
    for (method, path), operation in operations(tmp_path).items():
        for status, stated in operation["responses"].items():
            problem = stated.get("content", {}).get("application/problem+json")
            for code, example in (problem or {"examples": {}})["examples"].items():
                with pytest.MonkeyPatch.context() as patch:
                    answer = provoke(world, method, path, code, patch)
                where = f"{method} {path} {code}: {answer.status_code} {answer.text[:200]}"
                assert answer.status_code == int(status), where
                assert answer.headers["content-type"] == "application/problem+json", where
                found = answer.json()
                # A submission says that it could not store the job.
                outages = ("database-away", "disk-full")
                known = (code, "storage-failed") if code in outages else (code,)
                assert found["code"] in known, where
                assert found.keys() == example["value"].keys()
                walked += 1
    assert walked == 319
