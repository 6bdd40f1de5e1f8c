"""Responses of every route match the OpenAPI description."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import sqlalchemy as sa

from artscraper_gateway import GatewayConfig, create_app
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
from artscraper_gateway.jobs.batches import Batches
from artscraper_gateway.jobs.queue import JobQueue
from artscraper_gateway.jobs.submission import Submission
from artscraper_gateway.storage.local import LocalStorage
from artscraper_gateway.tests.openapi_world import (
    LIGHT,
    UNKNOWN_ID,
    World,
    body,
    filled,
    open_world,
    operations,
)

_CHANGED: dict[str, type[GatewayError]] = {
    kind.code: kind
    for kind in (InvalidRequest, ForbiddenAddress, TooLarge, UnsupportedPicture, BrokenPicture)
}
METHODS = ("get", "post", "delete")
OPEN_PATHS = ("/v1/limits", "/v1/session", "/livez", "/readyz")  # ask for no key
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


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("world")) as opened:
        yield opened


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
        patch.setattr(LocalStorage, "output", _no_space)
        ids["job"] = world.masked
        return world.call(method, filled(path, **ids))
    if code == "storage-failed":
        is_in_memory = "watermarks" in path or "strength" in path
        patch.setattr(Path, "replace" if is_in_memory else "mkdir", _no_space)
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


def test_refused_uploads_are_removed_off_the_event_loop(world: World) -> None:
    known, by = JobQueue.existing_ids, []

    def note(queue: JobQueue, job_ids: Collection[str]) -> set[str]:
        by.append(threading.current_thread().name)
        return known(queue, job_ids)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JobQueue, "existing_ids", note)
        files = [("file", b"no picture"), ("file", b"neither")]
        for path in ("/v1/jobs", "/v1/batches"):
            sent = files if "batches" in path else files[:1]
            assert world.call("post", path, files=sent, data=LIGHT).status_code == 415
    assert len(by) >= 3 and all(name.startswith("AnyIO worker thread") for name in by), by


def test_accepted_batch_is_returned_if_it_cannot_be_read(world: World) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batches, "find", None)
        files = [("file", world.picture(64, 64)), ("file", world.picture(65, 64))]
        answer = world.call("post", "/v1/batches", files=files, data=LIGHT)
    assert answer.status_code == 200, answer.text
    batch = world.call("get", answer.headers["location"]).json()
    assert [job["job_id"] for job in answer.json()["jobs"]] == [
        job["job_id"] for job in batch["jobs"]
    ]


def test_accepted_job_is_returned_if_it_cannot_be_awaited(world: World) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("artscraper_gateway.jobs.watcher._MAX_SUBSCRIPTIONS", 0)
        files = {"file": world.picture(64, 64)}
        answer = world.call("post", "/v1/jobs", files=files, headers={"Prefer": "wait=5"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["location"].endswith(answer.json()["job_id"])
    assert "preference-applied" not in answer.headers


def succeed(world: World, method: str, path: str) -> httpx.Response:
    """Make a call that the route answers well; what a deletion needs is made for it."""
    ids = {"job": world.masked, "batch": world.done_batch, "delivery": world.delivery()}
    if method == "delete":
        ids = {"job": world.submit(), "batch": world.batch()}
    world.app.state.services.readiness._looked_at = float("-inf")  # it keeps what it saw a second
    return world.call(method, filled(path, **ids), **body(world, method, path))


def test_successful_responses_match_openapi(world: World, tmp_path: Path) -> None:
    schema = create_app(GatewayConfig(base_dir=tmp_path)).openapi()
    for (method, path), operation in operations(tmp_path).items():
        if path == "/v1/session" and method == "delete":
            continue  # below
        answer = succeed(world, method, path)
        where = f"{method} {path}: {answer.status_code} {answer.text[:200]}"
        assert answer.status_code == 200, where
        (kind,) = operation["responses"]["200"]["content"].items()
        stated, content = kind
        assert re.match(stated.replace("*", ".*"), answer.headers["content-type"]), where
        if stated == "application/json":
            full = {**content["schema"], "components": schema["components"]}
            jsonschema.validate(answer.json(), full)
    assert world.call("delete", "/v1/session", key="").status_code == 200


def test_other_success_statuses_match_openapi(world: World, tmp_path: Path) -> None:
    """202, 204, 206 and 304, wherever they are stated."""
    layer = world.call("get", f"/v1/jobs/{world.done}/layers/original")
    found = set()
    for (method, path), operation in operations(tmp_path).items():
        others = {status for status in operation["responses"] if status[0] in "23"} - {"200"}
        for status in others:
            job = world.masked if "masks" in path else world.done
            url = filled(path, job=job)
            tag = world.call("get", url).headers.get("etag", "") if status == "304" else ""
            headers = {
                "202": {"Prefer": "respond-async"},
                "204": {"Last-Event-ID": str(_last_event(world))},
                "206": {"Range": "bytes=0-3"},
                "304": {"If-None-Match": tag},
            }[status]
            more = body(world, method, path)
            if status == "202":
                more["data"] = {}
            answer = world.call(method, url, headers=headers, **more)
            assert answer.status_code == int(status), (method, path, status, answer.text)
            found.add(status)
    assert found == {"202", "204", "206", "304"} and layer.status_code == 200


def _last_event(world: World) -> int:
    job = world.app.state.services.store.find(world.done)
    return int(job.revision)


def test_every_route_is_documented(tmp_path: Path) -> None:
    described = operations(tmp_path)
    for (method, path), operation in described.items():
        where = f"{method} {path}"
        assert method in METHODS and operation["summary"] and operation["description"], where
        assert operation["tags"], where
        for status, stated in operation["responses"].items():
            assert stated["description"], where
            if status[0] in "45":
                (kind,) = stated["content"]
                assert kind == "application/problem+json" and stated["content"][kind]["examples"]
        if path not in OPEN_PATHS:
            assert {"401", "403", "429", "500", "503"} <= operation["responses"].keys(), where
            assert operation["security"][0] == {}, "keys are asked for only where there are some"
    assert (
        "HTTPValidationError"
        not in create_app(GatewayConfig(base_dir=tmp_path)).openapi()["components"]["schemas"]
    )


def test_openapi_examples_are_valid(
    tmp_path: Path,
) -> None:
    schema = create_app(GatewayConfig(base_dir=tmp_path)).openapi()
    tried = 0
    for (_, path), operation in operations(tmp_path).items():
        bodies = [operation.get("requestBody", {})]
        bodies += [answer for status, answer in operation["responses"].items() if status[0] == "2"]
        for each in bodies:
            content = each.get("content", {}).get("application/json")
            if content is None or (path == "/v1/session" and each is bodies[0]):
                continue  # the example of a key would be a key
            named = content.get("examples", {}).values()
            found = [content["example"]] if "example" in content else [it["value"] for it in named]
            name = content["schema"]["$ref"].rpartition("/")[2]
            model = schema["components"]["schemas"][name]
            found = found or [model["example"]]
            for example in found:
                full = {**content["schema"], "components": schema["components"]}
                jsonschema.validate(example, full)
                if each is not bodies[0]:  # the example of an answer leaves nothing out
                    assert example.keys() == model["properties"].keys(), name
                tried += 1
    assert tried > 20
    session = operations(tmp_path)["post", "/v1/session"]
    assert "security" not in session, "it is where a key is sent to"
