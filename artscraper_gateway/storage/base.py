"""The interface of storage: where the files of jobs are, and how results become visible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from artscraper_runner import Workspace

SUMMARY = "summary.json"


class Storage(Protocol):
    """Stores the files of jobs where web processes and workers find them.

    Every method raises OSError while the disk or object storage cannot do it.
    """

    @property
    def shares_running_folders(self) -> bool:
        """Whether all machines write running jobs into one folder."""

    def put_input(self, job_id: str) -> None:
        """Make the staged picture available to workers; before its job is added."""

    def discard_staging(self, job_id: str) -> None:
        """Remove files that are needed only until the job is added."""

    def fetch_input(self, job_id: str) -> Path:
        """Return the folder on this machine with the staged picture, for a worker."""

    def local_input(self, job_id: str) -> Path:
        """Return a folder on this machine with the staged picture, for callers."""

    def public_input_path(self, job_id: str, name: str) -> str:
        """Return the public path of the staged picture."""

    def workspace(self, job_id: str, worker: str) -> Workspace:
        """Return where `worker` writes; its records name the place where results will be."""

    def commit_stage(self, job_id: str, worker: str) -> None:
        """Make what `worker` has written available to others; before the stage is recorded."""

    def take_over(self, job_id: str, worker: str, *, before: str) -> None:
        """Give `worker` a copy of all files of the worker `before`.

        Files of a stage that was not recorded are written again by that stage.
        """

    def publish(self, job_id: str, worker: str) -> None:
        """Make the results of `worker` the job's, unless it has some."""

    def is_published(self, job_id: str) -> bool:
        """Return whether the job has all its results."""

    def output(self, job_id: str) -> Path:
        """Return the folder on this machine with the results of a finished job."""

    def public_output_path(self, job_id: str) -> str:
        """Return the public path of the results."""

    def previews(self, job_id: str) -> Path:
        """Return the folder on this machine for small copies of the job's layers."""

    def cached_jobs(self) -> Iterator[Path]:
        """Yield this machine's copies of jobs, each a folder named by the job's id."""

    def running_folders(self) -> Iterator[Path]:
        """Yield the folders of running jobs on this machine, each named by the job's id."""

    def stale_uploads(self, *, older_than_s: float) -> Iterator[str]:
        """Yield the ids that uploads came in for and have not changed for so many seconds."""

    def clear(self, job_id: str) -> None:
        """Remove what only the running job needed."""

    def remove_upload(self, job_id: str) -> None:
        """Remove an upload, but no results."""

    def remove(self, job_id: str) -> None:
        """Remove every file of the job."""

    def check_writable(self) -> None:
        """Write and remove a small file where results go."""


class StorageUnavailable(Exception):
    """The place for results cannot be used with the present settings."""


class ObjectStorageError(OSError):
    """Object storage refused a request, failed or is away; it may work again later."""
