"""The local cache of object storage, and the removal of abandoned uploads."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from artscraper_gateway.jobs.deletion import Deletion
from artscraper_gateway.jobs.submission import Submission
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage import objects as object_storage
from artscraper_gateway.storage.base import ObjectStorageError
from artscraper_gateway.storage.objects import ObjectStorage
from artscraper_gateway.storage.paths import JobFolders
from artscraper_gateway.tests.test_retention import House
from artscraper_gateway.worker.failures import storage_outage

IDS = [f"{number:032x}" for number in range(60)]


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[ObjectStorage]:
    config = GatewayConfig(base_dir=tmp_path / "jobs", output_parent=f"memory://{tmp_path.name}")
    made = ObjectStorage(config)
    yield made
    if made._files.exists(made._root):
        made._files.rm(made._root, recursive=True)


def keep(storage: ObjectStorage, job_id: str) -> None:
    storage._files.pipe(f"{storage._root}/{job_id}/summary.json", b"{}")


def test_cache_serves_readers_while_it_evicts(
    storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_storage, "_CACHED_JOBS", 5)
    for job_id in IDS:
        keep(storage, job_id)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(storage.output, IDS * 3))
    assert [folder.name for folder in found] == IDS * 3
    cached = [path for path in found[0].parent.iterdir() if not path.name.startswith(".")]
    assert len(cached) <= 5 + 8


def test_cache_is_bounded_in_bytes_and_keeps_the_newest(storage: ObjectStorage) -> None:
    config = storage.config.model_copy(update={"max_cache_bytes": 2500})
    bounded = ObjectStorage(config)
    for age, job_id in enumerate(IDS[:4]):
        bounded._files.pipe(f"{bounded._root}/{job_id}/summary.json", bytes(1000))
        os.utime(bounded.output(job_id), (1000 + age, 1000 + age))
    assert {folder.name for folder in bounded.cached_jobs()} == {IDS[2], IDS[3]}
    bounded._files.pipe(f"{bounded._root}/{IDS[4]}/summary.json", bytes(9000))
    assert (bounded.output(IDS[4]) / "summary.json").stat().st_size == 9000
    assert [folder.name for folder in bounded.cached_jobs()] == [IDS[4]], "it alone is too large"


def test_cache_keeps_recently_read_uploads(
    storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_storage, "_CACHED_JOBS", 2)
    for job_id in IDS[:3]:
        storage._files.pipe(f"{storage._root}/.jobs/{job_id}/input/image.png", b"picture")
    first, second = storage.local_input(IDS[0]), storage.local_input(IDS[1])
    os.utime(first, (1000, 1000))
    os.utime(second, (2000, 2000))
    assert storage.local_input(IDS[0]) == first
    storage.local_input(IDS[2])
    assert (first / "image.png").read_bytes() == b"picture" and not second.exists()


def test_missing_object_differs_from_empty_folder(storage: ObjectStorage) -> None:
    with pytest.raises(FileNotFoundError):
        storage.output(IDS[0])
    keep(storage, IDS[0])
    assert (storage.output(IDS[0]) / "summary.json").exists(), "it is asked for again"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with closing(House(tmp_path)) as made:
        yield made


def staged(storage: ObjectStorage, job_id: str) -> None:
    folder = JobFolders.of(job_id, storage.config).input
    folder.mkdir(parents=True)
    (folder / "image.png").write_bytes(b"picture")
    storage.put_input(job_id)
    assert storage._files.find(storage._root)


@pytest.mark.system
@pytest.mark.parametrize("broken", ["database", "storage", "the process"])
def test_upload_that_became_no_job_leaves_no_object(
    storage: ObjectStorage, house: House, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    used: Any = None
    submission = Submission(storage.config, house.queue, storage, used, used, used, used)
    staged(storage, IDS[0])

    def fail(*_: object) -> None:
        raise sa.exc.OperationalError("select", None, Exception("away"))

    def unreachable(*_: object) -> None:
        raise OSError(5, "object storage failed")

    with monkeypatch.context() as patch:
        if broken == "database":
            patch.setattr(house.store, "existing_ids", fail)
        if broken == "storage":
            patch.setattr(type(storage), "_remove", unreachable)
        if broken != "the process":
            submission.discard_unless_accepted(IDS[0])
        if broken == "storage":
            kept = JobFolders.of(IDS[0], storage.config).intake
            assert list(kept.iterdir()) == [], "it says where to look, and takes no room"
    folder = JobFolders.of(IDS[0], storage.config).intake
    os.utime(folder, (1000, 1000))
    Deletion(storage.config, house.store, house.queue, storage).finish_interrupted()
    assert storage._files.find(storage._root) == [] and not folder.exists()


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (TimeoutError("read timed out"), errno.EIO),
        (PermissionError("user 7 may not write to bucket x"), errno.EIO),
        (OSError(errno.EBUSY, "Slow Down"), errno.EBUSY),
        (OSError(errno.EREMOTEIO, "Internal Error"), errno.EREMOTEIO),
        (FileNotFoundError("no such bucket x"), errno.EIO),
        (ValueError("a client's own"), errno.EIO),
    ],
)
def test_errors_of_object_storage_are_outages_without_its_words(
    storage: ObjectStorage, error: Exception, number: int
) -> None:
    with pytest.raises(ObjectStorageError) as raised, storage._translated_errors(writing=True):
        raise error
    assert raised.value.errno == number and str(error) not in str(raised.value)
    assert str(storage_outage(raised.value)).startswith("object storage failed (")


def test_missing_object_is_not_an_outage(storage: ObjectStorage) -> None:
    with pytest.raises(FileNotFoundError) as raised, storage._translated_errors():
        raise FileNotFoundError("none")
    assert storage_outage(raised.value) is None


def test_accepted_upload_keeps_its_object(storage: ObjectStorage, house: House) -> None:
    house.add(0)
    staged(storage, IDS[0])
    used: Any = None
    submission = Submission(storage.config, house.queue, storage, used, used, used, used)
    submission.discard_unless_accepted(IDS[0])
    storage.discard_staging(IDS[0])
    assert not JobFolders.of(IDS[0], storage.config).intake.exists()
    Deletion(storage.config, house.store, house.queue, storage).finish_interrupted()
    assert len(storage._files.find(storage._root)) == 1
    assert (storage.fetch_input(IDS[0]) / "image.png").read_bytes() == b"picture"
