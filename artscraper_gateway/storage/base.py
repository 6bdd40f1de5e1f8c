"""Files of jobs, in folders that all processes share. Results become visible complete, once.

A worker writes into a folder of its own. A stage counts once the queue has recorded it, which it
refuses to a worker that has lost the job; a worker that takes the job over copies the files of the
recorded stages from its predecessors' folders. At the end the results are renamed to their place,
which fails if there are some already. So a worker that was frozen and wakes up cannot change them:
its folder is gone, or the place is taken.
"""

from __future__ import annotations

import errno
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from artscraper_gateway.errors import DiskFull, GatewayError, StorageFailed
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.paths import (
    RUNNING,
    JobFolders,
    hint_writeback,
    is_older_than,
    job_folders_in,
)
from artscraper_runner import Workspace

SUMMARY = "summary.json"
_FRESH_S = 2.0
_FRESH_OBJECTS_S = 10.0  # of object storage, where each check is two requests
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class StorageUnavailable(Exception):
    """The place for results cannot be used with the present settings."""


class ObjectStorageError(OSError):
    """Object storage refused a request, failed or is away; it may work again later."""


@contextmanager
def as_storage_failure() -> Iterator[None]:
    """Turn an OSError of the block into StorageFailed."""
    try:
        yield
    except OSError as error:
        raise StorageFailed("The picture could not be stored; try again later.") from error


@dataclass(frozen=True)
class Storage:
    """Files in folders of one machine, or mounted on each machine of a fleet.

    Every method raises OSError while the disk, or object storage in the subclass for it, fails.
    Running jobs are in folders of this machine, whether or not other machines share them.
    """

    config: GatewayConfig
    shares_running_folders: ClassVar[bool] = True  # whether all machines write into one folder

    def put_input(self, job_id: str) -> None:
        """Make the staged picture available to workers; before its job is added."""

    def discard_staging(self, job_id: str) -> None:
        """Remove files that are needed only until the job is added."""

    def fetch_input(self, job_id: str) -> Path:
        """Return the folder on this machine with the staged picture, for a worker."""
        return self._folders(job_id).input

    def local_input(self, job_id: str) -> Path:
        """Return a folder on this machine with the staged picture, for callers."""
        return self._folders(job_id).input

    def public_input_path(self, job_id: str, name: str) -> str:
        """Return the public path of the staged picture."""
        return str(self._folders(job_id).input / name)

    def workspace(self, job_id: str, worker: str) -> Workspace:
        """Return where `worker` writes; its records name the place where results will be."""
        output, work = self._folders(job_id).of_worker(worker)
        return Workspace(output=output, work=work, shown_as=self.public_output_path(job_id))

    def commit_stage(self, job_id: str, worker: str) -> None:
        """Make what `worker` has written available to others; before the stage is recorded."""

    def take_over(self, job_id: str, worker: str, *, before: str) -> None:
        """Give `worker` a copy of all files of the worker `before`, who may wake up and write.

        Files of a stage that was not recorded are written again by that stage.
        """
        running = self._folders(job_id).running
        copy_files(running / before, running / worker)

    def publish(self, job_id: str, worker: str) -> None:
        """Make the results of `worker` the job's, unless it has some.

        A folder that exists and is not empty cannot be renamed over.
        """
        folders = self._folders(job_id)
        output, _ = folders.of_worker(worker)
        try:
            output.rename(folders.output)
        except OSError:
            if not self.is_published(job_id):
                raise
        self.clear(job_id)
        hint_writeback(folders.input, folders.output)

    def is_published(self, job_id: str) -> bool:
        """Return whether the job has all its results."""
        return (self._folders(job_id).output / SUMMARY).exists()

    def output(self, job_id: str) -> Path:
        """Return the folder on this machine with the results of a finished job."""
        return self._folders(job_id).output

    def public_output_path(self, job_id: str) -> str:
        """Return the public path of the results."""
        return str(self._folders(job_id).output)

    def previews(self, job_id: str) -> Path:
        """Return the folder on this machine for small copies of the job's layers."""
        return self._folders(job_id).previews

    def cached_jobs(self) -> Iterator[Path]:
        """Yield this machine's copies of jobs, each a folder named by the job's id."""
        return iter(())

    def running_folders(self) -> Iterator[Path]:
        """Yield the folders of running jobs on this machine, each named by the job's id."""
        return job_folders_in(self.config.output_folder / RUNNING)

    def stale_uploads(self, *, older_than_s: float) -> Iterator[str]:
        """Yield the ids that uploads came in for and have not changed for so many seconds."""
        for folder in job_folders_in(self.config.base_dir):
            if is_older_than(folder, older_than_s):
                yield folder.name

    def clear(self, job_id: str) -> None:
        """Remove what only the running job needed, of all workers that ran it."""
        shutil.rmtree(self._folders(job_id).running, ignore_errors=True)

    def remove_upload(self, job_id: str) -> None:
        """Remove an upload, but no results."""
        self._folders(job_id).remove_intake()

    def remove(self, job_id: str) -> None:
        """Remove every file of the job."""
        self._folders(job_id).remove()

    def check_writable(self) -> None:
        """Write and remove a file in base_dir and where results go, which is made if missing."""
        self.config.output_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.config.base_dir, self.config.output_folder):
            probe = folder / f".probe-{secrets.token_hex(6)}"
            try:
                probe.write_bytes(b"x" * 4096)
            finally:
                probe.unlink(missing_ok=True)

    def _folders(self, job_id: str) -> JobFolders:
        return JobFolders.of(job_id, self.config)


def copy_files(source: Path, target: Path) -> None:
    """Copy the files below `source` to `target`, replacing existing ones.

    Temporary files are left out; `target` never has incomplete ones under their final names.

    Raises:
        FileNotFoundError: `source` does not exist.
    """
    if not source.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the files of finished stages are gone", str(source))
    for path in source.rglob("*"):
        if path.is_dir() or path.name.startswith("."):
            continue
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        partial = copy.with_name(f".partial-{copy.name}")
        shutil.copy2(path, partial)
        partial.rename(copy)


@dataclass
class StorageHealth:
    """Checks the disk and the storage of results, at most every few seconds."""

    config: GatewayConfig
    storage: Storage
    _problem: GatewayError | None = field(default=None, init=False)
    _checked_at: float = field(default=float("-inf"), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def problem(self) -> GatewayError | None:
        """Return why nothing can be stored, or None. Blocks."""
        with self._lock:
            fresh_s = _FRESH_S if self.storage.shares_running_folders else _FRESH_OBJECTS_S
            if self._problem is not None:
                fresh_s = 1.0
            if time.monotonic() - self._checked_at >= fresh_s:
                self._problem = self._find_problem()
                self._checked_at = time.monotonic()
            return self._problem

    def check(self) -> None:
        """Raise the problem, DiskFull or StorageFailed, if nothing can be stored now. Blocks."""
        problem = self.problem()
        if problem is not None:
            raise type(problem)(problem.detail)

    def _find_problem(self) -> GatewayError | None:
        for name, folder in (
            ("base_dir", self.config.base_dir),
            ("output_parent", self.config.output_folder),
        ):
            try:
                free = shutil.disk_usage(folder).free
            except FileNotFoundError:
                continue  # it is made with the first results
            except OSError as error:
                return StorageFailed(f"{name} cannot be reached: {error.strerror}.")
            if free < self.config.min_free_disk:
                least = self.config.min_free_disk
                return DiskFull(f"{name} has {free} bytes free; expected at least {least}.")
        try:
            self.storage.check_writable()
        except OSError as error:
            if error.errno in _NO_ROOM:
                return DiskFull(f"No file can be stored: {error.strerror}.")
            return StorageFailed(f"No file can be stored: {error.strerror}.")
        return None
