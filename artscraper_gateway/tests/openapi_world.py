"""A gateway with jobs in every state, of which each route can be asked what it can answer."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from PIL import Image

from artscraper_gateway import GatewayConfig, create_app
from artscraper_gateway.auth.keys import KeyStore, Rate
from artscraper_gateway.tests.gateway_process import until
from artscraper_gateway.tests.support.database_template import copy_migrated_database
from artscraper_gateway.tests.support.inline_worker import InlineWorker

Picture = Callable[..., bytes]
LIGHT = {"include_protection": "false", "include_hash_analysis": "false"}
JOB_BODY = ("/v1/jobs", "/v1/protect", "/v1/batches", "/v1/watermarks/read")
UNKNOWN_ID = "0" * 32
# What a caller must send to be answered well, beside ids: query, headers.
QUERIES = {"/v1/events": {"job": UNKNOWN_ID}}


def operations(tmp_path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    app = create_app(GatewayConfig(base_dir=tmp_path))
    return {
        (method, path): operation
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    }


class World:
    """A gateway in this process with jobs in every state, and keys that may do different things."""

    def __init__(self, app: Any, client: httpx.Client, picture: Picture) -> None:
        self.app, self.client, self.picture = app, client, picture
        keys = KeyStore(app.state.services.store.engine)
        self.keys = {
            "admin": keys.add("admin", scopes=("admin",)),
            "read": keys.add("read", scopes=("read",)),
            "delete": keys.add("delete", scopes=("delete",)),
            "full": keys.add("full", max_queued=1),
            "spent": keys.add("spent", rate=Rate(1, 86_400.0)),
        }
        app.state.services.keyring._read_at = float("-inf")
        self.call("get", "/v1/jobs", key="spent")
        self.waiting = self.submit()
        self.failed = self.submit()
        self.call("post", f"/v1/jobs/{self.failed}/cancel")
        self.done = self.submit(**LIGHT)
        self.refused = self.submit(key="full")
        self.call("post", f"/v1/jobs/{self.refused}/cancel", key="full")
        self.submit(key="full")
        self.waiting_batch = self.batch()
        self.done_batch = self.batch(**LIGHT)
        marked = {**LIGHT, "include_protection": "true", "stages": "invisible-watermark"}
        self.masked = self.submit(callback_url="https://example.invalid/", **marked)
        for job_id in (self.done, self.masked):
            until(lambda: self.state(job_id) == "done", what="the job ends")  # noqa: B023
        url = f"/v1/batches/{self.done_batch}"
        until(lambda: self.call("get", url).json()["status"] == "done", what="the batch ends")

    def call(self, method: str, path: str, *, key: str = "admin", **more: Any) -> httpx.Response:
        headers = {**({"X-API-Key": self.keys[key]} if key else {}), **more.pop("headers", {})}
        self.client.cookies.clear()
        return self.client.request(method, path, headers=headers, **more)

    def submit(self, *, key: str = "admin", **fields: str) -> str:
        files = {"file": self.picture(320, 280)}
        answer = self.call("post", "/v1/jobs", key=key, files=files, data=fields)
        assert answer.status_code == 200, answer.text
        return answer.json()["job_id"]

    def batch(self, **fields: str) -> str:
        files = {"file": self.picture(64, 64)}
        return self.call("post", "/v1/batches", files=files, data=fields).json()["batch_id"]

    def state(self, job_id: str) -> str:
        return self.call("get", f"/v1/jobs/{job_id}").json()["status"]

    def delivery(self) -> str:
        rows = self.call("get", f"/v1/jobs/{self.masked}/deliveries").json()["deliveries"]
        return rows[0]["delivery_id"]


@contextmanager
def open_world(home: Path) -> Iterator[World]:
    """Serve a world in a thread until the block ends."""
    config = GatewayConfig(
        base_dir=home / "jobs",
        output_parent=home / "outputs",
        gpu_queue=True,  # jobs with attack stages wait, since no worker takes them
        max_upload_bytes=400_000,
    )
    copy_migrated_database(config.database_path)
    worker = InlineWorker(config)
    worker.start()
    app = create_app(config.model_copy(update={"worker_concurrency": 0}))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    serving = threading.Thread(target=server.run)
    serving.start()
    until(lambda: server.started, what="the server starts")
    port = server.servers[0].sockets[0].getsockname()[1]
    url, alone = f"http://127.0.0.1:{port}", httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=url, timeout=60, trust_env=False, limits=alone) as client:
        yield World(app, client, _picture)
    server.should_exit = True
    serving.join()
    worker.stop()


def _picture(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(width).integers(40, 216, (height, width, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def body(world: World, method: str, path: str) -> dict[str, Any]:
    """Return the arguments of a valid call of this route, apart from its path."""
    if method == "post" and path in JOB_BODY:
        data = {} if path.endswith("read") else LIGHT
        return {"files": {"file": world.picture(64, 64)}, "data": data}
    if (method, path) == ("post", "/v1/strength-previews"):
        form = {"width": "64", "height": "64", "strength": "low", "stages": "photoguard"}
        return {"files": {"file": world.picture(64, 64)}, "data": form}
    if (method, path) == ("post", "/v1/session"):
        return {"json": {"key": world.keys["admin"]}}
    if (method, path) == ("post", "/v1/jobs/retry"):
        return {"json": {"batch_id": UNKNOWN_ID}}
    return {"params": QUERIES.get(path, {})}


def filled(
    path: str,
    *,
    job: str,
    batch: str = UNKNOWN_ID,
    delivery: str = "msg_0",
    is_unfinished: bool = False,
) -> str:
    # The original is there from the beginning, and of a job that failed.
    by_stage = "masks" in path or is_unfinished
    stage = "invisible-watermark" if by_stage else "original"
    ids = {"job_id": job, "batch_id": batch, "stage": stage, "delivery_id": delivery}
    return path.format(**ids)
