"""Refusal of jobs that cannot be stored, and the reason in /readyz."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artscraper_gateway.errors import DiskFull, StorageFailed
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage import base as storage_module
from artscraper_gateway.storage.base import Storage, StorageHealth
from artscraper_gateway.storage.objects import open_storage
from artscraper_gateway.tests.support.in_process import InProcessGateway

Start = Callable[..., InProcessGateway]
Picture = Callable[..., bytes]


def failing(number: int) -> Callable[[Any], None]:
    def check_writable(_self: Any) -> None:
        raise OSError(number, os.strerror(number))

    return check_writable


@pytest.fixture
def config(tmp_path: Path) -> GatewayConfig:
    (tmp_path / "jobs").mkdir()
    return GatewayConfig(base_dir=tmp_path / "jobs", output_parent=tmp_path / "out")


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, DiskFull), (errno.EACCES, StorageFailed), (errno.EROFS, StorageFailed)],
)
def test_storage_problem_states_the_reason(
    config: GatewayConfig, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    health = StorageHealth(config, Storage(config))
    assert health.problem() is None
    monkeypatch.setattr(Storage, "check_writable", failing(number))
    assert health.problem() is None, "a fresh answer is used again"
    monkeypatch.setattr(storage_module, "_FRESH_S", 0.0)
    with pytest.raises(kind, match=os.strerror(number)):
        health.check()


def test_local_check_creates_output_folder_and_leaves_no_file(config: GatewayConfig) -> None:
    Storage(config).check_writable()
    assert config.output_folder.stat().st_mode & 0o777 == 0o700
    assert list(config.output_folder.iterdir()) == []


def test_object_check_leaves_no_object(tmp_path: Path) -> None:
    config = GatewayConfig(base_dir=tmp_path, output_parent="memory://health-check/results")
    storage: Any = open_storage(config)
    storage.check_writable()
    assert storage._files.find(storage._root) == []


def test_submissions_are_refused_during_storage_outage(
    start_app: Start, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = start_app(worker_concurrency=0)
    monkeypatch.setattr(storage_module, "_FRESH_S", 0.0)
    files = {"file": picture(64, 64)}
    with gateway.client() as client:
        with monkeypatch.context() as outage:
            outage.setattr(Storage, "check_writable", failing(errno.EACCES))
            refused = client.post("/v1/jobs", files=files)
            assert (refused.status_code, refused.json()["code"]) == (503, "storage-failed")
            storage_module.time.sleep(1.1)
            ready = client.get("/readyz")
            assert (ready.status_code, ready.json()["code"]) == (503, "storage-failed")
            assert client.get("/v1/jobs").json()["jobs"] == []
        storage_module.time.sleep(1.1)
        assert client.post("/v1/jobs", files=files).status_code == 200
