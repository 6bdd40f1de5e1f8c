"""Responses of every route match the OpenAPI description."""

from __future__ import annotations

import re
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

import httpx
import pytest

from artscraper_gateway import GatewayConfig, create_app
from artscraper_gateway.jobs.batches import Batches
from artscraper_gateway.jobs.queue import JobQueue
from artscraper_gateway.tests.openapi_world import (
    LIGHT,
    World,
    body,
    filled,
    operations,
)

METHODS = ("get", "post", "delete")
OPEN_PATHS = ("/v1/limits", "/v1/session", "/livez", "/readyz")  # ask for no key


def validate(instance: Any, schema: dict[str, Any]) -> None:
    import jsonschema  # takes a second, which every worker would spend that collects this file

    jsonschema.validate(instance, schema)


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
            validate(answer.json(), full)
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
                validate(example, full)
                if each is not bodies[0]:  # the example of an answer leaves nothing out
                    assert example.keys() == model["properties"].keys(), name
                tried += 1
    assert tried > 20
    session = operations(tmp_path)["post", "/v1/session"]
    assert "security" not in session, "it is where a key is sent to"
