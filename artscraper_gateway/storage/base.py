"""The interface of storage: where the files of jobs are, and how results become visible."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.paths import RUNNING, JobFolders, is_older_than, job_folders_in
from artscraper_runner import Workspace

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Storage(ABC):
    """Stores the files of jobs where web processes and workers find them.

    Every method raises OSError while the disk or object storage cannot do it. Running jobs are in
    folders of this machine, whether or not other machines share them.
    """

    config: GatewayConfig
    shares_running_folders: ClassVar[bool]  # whether all machines write into one folder

    def put_input(self, job_id: str) -> None:  # noqa: B027  a hook
        """Make the staged picture available to workers; before its job is added."""

    def discard_staging(self, job_id: str) -> None:  # noqa: B027  a hook
        """Remove files that are needed only until the job is added."""

    @abstractmethod
    def fetch_input(self, job_id: str) -> Path:
        """Return the folder on this machine with the staged picture, for a worker."""

    @abstractmethod
    def local_input(self, job_id: str) -> Path:
        """Return a folder on this machine with the staged picture, for callers."""

    @abstractmethod
    def public_input_path(self, job_id: str, name: str) -> str:
        """Return the public path of the staged picture."""

    def workspace(self, job_id: str, worker: str) -> Workspace:
        """Return where `worker` writes; its records name the place where results will be."""
        output, work = self._folders(job_id).of_worker(worker)
        return Workspace(output=output, work=work, shown_as=self.public_output_path(job_id))

    def commit_stage(self, job_id: str, worker: str) -> None:  # noqa: B027  a hook
        """Make what `worker` has written available to others; before the stage is recorded."""

    @abstractmethod
    def take_over(self, job_id: str, worker: str, *, before: str) -> None:
        """Give `worker` a copy of all files of the worker `before`.

        Files of a stage that was not recorded are written again by that stage.
        """

    @abstractmethod
    def publish(self, job_id: str, worker: str) -> None:
        """Make the results of `worker` the job's, unless it has some."""

    @abstractmethod
    def is_published(self, job_id: str) -> bool:
        """Return whether the job has all its results."""

    @abstractmethod
    def output(self, job_id: str) -> Path:
        """Return the folder on this machine with the results of a finished job."""

    @abstractmethod
    def public_output_path(self, job_id: str) -> str:
        """Return the public path of the results."""

    @abstractmethod
    def previews(self, job_id: str) -> Path:
        """Return the folder on this machine for small copies of the job's layers."""

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

    @abstractmethod
    def check_writable(self) -> None:
        """Write and remove a small file where results go."""

    def _folders(self, job_id: str) -> JobFolders:
        return JobFolders.of(job_id, self.config)


class StorageUnavailable(Exception):
    """The place for results cannot be used with the present settings."""


class ObjectStorageError(OSError):
    """Object storage refused a request, failed or is away; it may work again later."""
