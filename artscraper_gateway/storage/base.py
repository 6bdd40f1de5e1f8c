"""The interface of storage: where the files of jobs are kept, and how results become visible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from artscraper_runner import Workspace

SUMMARY = "summary.json"


class Storage(Protocol):
    """What keeps the files of jobs where web processes and workers find them."""

    def keep_input(self, job_id: str) -> None:
        """Makes the staged picture reachable for workers, before its job is added."""

    def end_staging(self, job_id: str) -> None:
        """Removes what is needed only until the job is added."""

    def fetch_input(self, job_id: str) -> Path:
        """Returns the folder on this machine with the staged picture."""

    def received(self, job_id: str) -> Path:
        """Returns a folder on this machine with the picture, for those who want to look at it."""

    def shown_input(self, job_id: str, name: str) -> str:
        """Returns what callers are told about where the staged picture stands."""

    def workspace(self, job_id: str, worker: str) -> Workspace:
        """Returns where `worker` writes; told as the place where the results will stand."""

    def keep_stage(self, job_id: str, worker: str) -> None:
        """Makes what `worker` has written reachable for others; before the stage is recorded."""

    def take_over(self, job_id: str, worker: str, *, before: str) -> None:
        """Gives `worker` all files of the worker `before`.

        What is there of a stage that was not recorded, that stage writes anew.
        """

    def publish(self, job_id: str, worker: str) -> None:
        """Makes the results of `worker` the job's, unless it has some."""

    def is_published(self, job_id: str) -> bool:
        """Whether the job has all its results."""

    def output(self, job_id: str) -> Path:
        """Returns the folder on this machine with the results of a finished job."""

    def shown_output(self, job_id: str) -> str:
        """Returns what callers are told about where the results stand."""

    def previews(self, job_id: str) -> Path:
        """Returns the folder on this machine for small copies of the job's layers."""

    def copies(self) -> Iterator[Path]:
        """Yields this machine's copies of jobs, each a folder of the job's name."""

    def clear(self, job_id: str) -> None:
        """Removes what only the running job needed."""

    def remove_upload(self, job_id: str) -> None:
        """Removes what came for a job that is none, and no results. Raises OSError."""

    def remove(self, job_id: str) -> None:
        """Removes every file of the job. Raises OSError when one stays."""


class StorageRefused(Exception):
    """The place for results cannot be used as it is set."""
