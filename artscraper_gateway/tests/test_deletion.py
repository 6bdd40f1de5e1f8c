"""Deleting jobs on a full disk, beside those who still write, and after an interruption."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from artscraper_gateway.api.context import CallerJobs
from artscraper_gateway.api.routes.results import _preview
from artscraper_gateway.db.retry import is_full, is_outage
from artscraper_gateway.errors import NotFound
from artscraper_gateway.jobs.deletion import Deletion, remove_leftovers
from artscraper_gateway.jobs.leases import Heartbeats, Leases, machine_name
from artscraper_gateway.jobs.models import Outcome
from artscraper_gateway.storage.objects import open_storage
from artscraper_gateway.storage.paths import READING_PREFIX, RUNNING, JobFolders, partial_downloads
from artscraper_gateway.tests.test_retention import House

HOUR_S = 3600


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with closing(House(tmp_path)) as house:
        yield house


def caller_jobs(home: House) -> CallerJobs:
    """Return the jobs as a route that only reads files sees them."""
    unused: Any = None
    return CallerJobs(
        caller=unused,
        config=home.config,
        store=home.store,
        listing=unused,
        storage=home.retention.deletion.storage,
        urls=unused,
    )


@pytest.fixture
def full(tmp_path: Path) -> sa.exc.OperationalError:
    """The error of SQLite on a full disk."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/small.sqlite3")
    with engine.begin() as connection:
        connection.exec_driver_sql("create table t (x)")
        connection.exec_driver_sql("pragma max_page_count = 2")
        with pytest.raises(sa.exc.OperationalError) as caught:
            connection.exec_driver_sql("insert into t values (zeroblob(100000))")
    engine.dispose()
    return caught.value


def failing_once(method: Any, error: Exception) -> Any:
    calls = []

    def call(*given: Any, **named: Any) -> Any:
        calls.append(given)
        if len(calls) == 1:
            raise error
        return method(*given, **named)

    return call


def test_is_outage_covers_full_disk_and_lock_but_not_bad_sql(
    home: House, full: sa.exc.OperationalError
) -> None:
    assert is_full(full) and is_outage(full)
    path = home.config.database_path
    with sqlite3.connect(path) as holder:
        holder.execute("begin immediate")
        engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": 0})
        with pytest.raises(sa.exc.OperationalError) as locked, engine.begin() as connection:
            connection.exec_driver_sql("delete from jobs")
        with pytest.raises(sa.exc.OperationalError) as wrong, engine.begin() as connection:
            connection.exec_driver_sql("select nonsense from nowhere")
        engine.dispose()
    holder.close()
    assert is_outage(locked.value) and not is_full(locked.value)
    assert not is_outage(wrong.value)


def test_finished_job_is_deleted_on_a_full_disk(
    home: House, full: sa.exc.OperationalError, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = home.add(1)
    once = failing_once(home.store.mark_deleting, full)

    def mark(job_id: str) -> bool:
        marked: bool = once(job_id)
        assert not JobFolders.of(job_id, home.config).intake.exists(), "the files went first"
        return marked

    monkeypatch.setattr(home.store, "mark_deleting", mark)
    assert home.retention.deletion.delete(job_id)
    assert home.left() == []


def test_batch_is_deleted_on_a_full_disk(
    home: House, full: sa.exc.OperationalError, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [home.add(number) for number in (1, 2)]
    mark = failing_once(home.store.mark_deleting, full)
    monkeypatch.setattr(home.store, "mark_deleting", mark)
    home.retention.deletion.delete_all(jobs)
    assert home.left() == []


def test_files_are_kept_until_deletion_is_recorded(
    home: House, full: sa.exc.OperationalError, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = home.add(1, ended=False)
    monkeypatch.setattr(home.store, "mark_deleting", failing_once(None, full))
    with pytest.raises(sa.exc.OperationalError):
        home.retention.deletion.delete(job_id)
    assert home.left() == [1]


def test_failed_file_removal_is_retried(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, storage = home.add(1), home.retention.deletion.storage
    once = failing_once(type(storage).remove, OSError("busy"))
    monkeypatch.setattr(type(storage), "remove", once)
    assert home.retention.deletion.delete(job_id)
    assert home.store.find(job_id) is None and home.left() == [1]
    home.retention.deletion.finish_interrupted()
    assert home.left() == []


def test_unknown_result_folders_are_kept(home: House) -> None:
    """The database may be an older one that was restored, or the wrong one."""
    folders = JobFolders.of(f"{7:032x}", home.config)
    for folder in (folders.input, folders.output):
        folder.mkdir(parents=True)
        (folder / "image.png").touch()
    os.utime(folders.intake, (1000, 1000))
    home.retention.deletion.finish_interrupted()
    assert not folders.intake.exists() and (folders.output / "image.png").exists()


def test_old_uploads_without_job_are_removed(home: House) -> None:
    home.add(1)
    old = [home.config.base_dir / name for name in (f"{2:032x}", f"{READING_PREFIX}old")]
    young = [home.config.base_dir / name for name in (f"{3:032x}", f"{READING_PREFIX}young")]
    other = home.config.base_dir / "c2pa"
    for folder in (*old, *young, other):
        folder.mkdir()
        (folder / "image.png").touch()
    past = home.config.database_path.stat().st_mtime - 2 * HOUR_S
    for folder in (*old, other, JobFolders.of(f"{1:032x}", home.config).intake):
        os.utime(folder, (past, past))
    home.retention.deletion.finish_interrupted()
    assert [folder.exists() for folder in (*old, *young, other)] == [False] * 2 + [True] * 3
    assert JobFolders.of(f"{1:032x}", home.config).intake.exists()


@pytest.mark.parametrize("error", [FileNotFoundError(2, "gone"), FileExistsError(17, "there")])
def test_preview_of_a_job_being_deleted_is_not_found(home: House, error: OSError) -> None:
    job_id = home.add(1)
    job = home.store.find(job_id)
    assert job is not None

    async def vanish(*_: Any, **__: Any) -> None:
        home.store.mark_deleting(job_id)
        raise error

    previews: Any = SimpleNamespace(find_or_make=vanish)
    jobs = caller_jobs(home)
    layer = JobFolders.of(job_id, home.config).input / "image.png"
    with pytest.raises(NotFound):
        asyncio.run(_preview(jobs, previews, job, layer, size=100, suffix=".webp"))
    assert not layer.parent.exists()


def test_previews_of_a_job_being_deleted_are_removed(home: House) -> None:
    job_id = home.add(1)
    home.store.mark_deleting(job_id)
    preview = JobFolders.of(job_id, home.config).previews / "small.webp"
    preview.parent.mkdir(parents=True)
    preview.touch()
    with pytest.raises(NotFound, match="deleted meanwhile"):
        caller_jobs(home).check_kept(job_id)
    assert not preview.exists()


def test_failed_workflow_fails_its_job_unless_leased(home: House) -> None:
    for number in (1, 2, 3):
        home.add(number, ended=False)
    with home.engine.begin() as connection:
        connection.execute(sa.text("insert into workers (id, name, beats) values ('w', 'w', 0)"))
        connection.execute(
            sa.text("update jobs set worker = 'w' where id = :id"), {"id": f"{2:032x}"}
        )
        connection.execute(
            sa.text("update workflow_status set status = 'ERROR' where workflow_uuid != :id"),
            {"id": f"{3:032x}"},
        )
    home.retention.run_once()
    found = [home.store.find(f"{number:032x}") for number in (1, 2, 3)]
    assert [job and job.status for job in found] == ["error", "queued", "queued"]
    assert found[0] is not None and found[0].error_code == "failed"


def test_deregister_releases_jobs_in_one_transaction(home: House) -> None:
    """Between the two its own threads would take the jobs for cancelled, and end them."""
    heart = Heartbeats(home.engine, "host.slot-0", missed_beats_limit=3, origin="tests")
    heart.register()
    job_id = home.add(1, ended=False)
    assert home.store.begin_stage(job_id, "original", worker=heart.id) == 1
    commits: list[object] = []

    def note(connection: object) -> None:
        commits.append(connection)

    sa.event.listen(home.engine, "commit", note)
    Leases(home.engine).deregister(heart.id)
    assert len(commits) == 1
    job = home.store.find(job_id)
    assert job is not None and (job.worker, job.stage_attempts) == (None, 0)
    assert heart.alive_ids() == set()


def test_results_in_earlier_output_parent_are_deleted(tmp_path: Path) -> None:
    with closing(House(tmp_path)) as before:
        job_id = before.add(1, ended=False)
        heart = Heartbeats(before.engine, "host.slot-0", missed_beats_limit=3, origin="tests")
        heart.register()
        assert Leases(before.engine).acquire(job_id, worker=heart.id)
        output = JobFolders.of(job_id, before.config).output
        output.mkdir(parents=True)
        (output / "summary.json").touch()
        outcome = Outcome(job_id, None, 10, str(before.config.output_parent))
        assert before.store.finish(outcome, worker=heart.id)
    with closing(House(tmp_path, output_parent=tmp_path / "elsewhere")) as after:
        assert after.retention.deletion.delete(job_id)
        assert after.left() == []
    assert not output.exists()


def test_leftovers_of_deleted_jobs_are_removed_locally(tmp_path: Path) -> None:
    """With object storage, folders of running jobs are local to each machine."""
    with closing(House(tmp_path)) as home:
        config = home.config.model_copy(update={"output_parent": "memory://leftovers/results"})
        here, elsewhere = (f"{name}.slot-0" for name in (machine_name(), "other-machine"))
        running = config.output_folder / RUNNING
        ids = {}
        for number, worker in enumerate((here, elsewhere, None), start=1):
            job_id = ids[worker] = home.add(number, ended=False)
            if worker is not None:
                heart = Heartbeats(home.engine, worker, missed_beats_limit=3, origin="tests")
                heart.register()
                assert Leases(home.engine).acquire(job_id, worker=heart.id)
        deleted, preview = f"{7:032x}", config.output_folder / ".previews" / f"{7:032x}"
        for folder in (*(running / job_id for job_id in (*ids.values(), deleted)), preview):
            (folder / "input").mkdir(parents=True)
        remove_leftovers(open_storage(config), home.store)
        left = {folder.name for folder in running.iterdir()}
        assert left == {ids[here], ids[None]}, "what runs here, and what may go on here"
        assert not preview.exists()


def test_web_process_removes_copies_of_jobs_deleted_elsewhere(tmp_path: Path) -> None:
    """A gateway without workers keeps results from object storage, too."""
    with closing(House(tmp_path)) as home:
        config = home.config.model_copy(update={"output_parent": "memory://forgets/results"})
        kept, deleted = home.add(1), f"{2:032x}"
        results = {job_id: config.output_folder / job_id for job_id in (kept, deleted)}
        broken_off = partial_downloads(config) / "of-a-killed-process"
        for folder in (*results.values(), broken_off):
            folder.mkdir(parents=True)
        os.utime(broken_off, (1000, 1000))
        deletion = Deletion(config, home.store, home.queue, open_storage(config))

        async def clean_up() -> None:
            stopping = asyncio.Event()
            task = asyncio.create_task(deletion.clean_up_regularly(stopping))
            while broken_off.exists() and not task.done():
                await asyncio.sleep(0.01)
            stopping.set()
            await task

        asyncio.run(asyncio.wait_for(clean_up(), 60))
        assert results[kept].exists() and not results[deleted].exists()


def test_abandoned_uploads_are_found_in_object_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uploads of any machine count: they have no local folder."""
    with closing(House(tmp_path)) as home:
        config = home.config.model_copy(update={"output_parent": "memory://uploads/results"})
        storage: Any = open_storage(config)
        known, lost = home.add(1), f"{2:032x}"
        for job_id in (known, lost):
            storage._files.pipe_file(f"{storage._root}/.jobs/{job_id}/input/image.png", b"x")
        deletion = Deletion(config, home.store, home.queue, storage)
        deletion.finish_interrupted()
        assert len(storage._files.find(storage._root)) == 2, "they may still become jobs"
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 2 * HOUR_S)
        deletion.finish_interrupted()
        (kept,) = storage._files.find(storage._root)
        assert known in kept
