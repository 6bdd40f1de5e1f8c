"""Where results are kept, and how they become visible: whole, once, and never replaced.

A worker writes into a folder of its own. A stage counts once the queue has recorded it, which the
queue refuses a worker that has lost the job; a worker that takes the job over copies what the
recorded stages left in the folders of those before it. When all is recorded, the results are
moved to their place in one step that fails when there are some already. So a worker that was
frozen and wakes cannot change them: it finds its folder gone, or the place taken.
"""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from artscraper_gateway.config import GatewayConfig
from artscraper_gateway.folders import JobFolders
from artscraper_gateway.store import Job
from artscraper_runner import Workspace

_SUMMARY = "summary.json"


class Storage(Protocol):
    """What keeps the files of jobs where web processes and workers find them."""

    def keep_input(self, job_id: str) -> None:
        """Makes the staged picture reachable for workers. Raises OSError."""

    def fetch_input(self, job_id: str) -> None:
        """Brings the staged picture to this machine."""

    def workspace(self, job_id: str, worker: str) -> Workspace:
        """Returns where `worker` writes."""

    def shown_input(self, job_id: str, name: str) -> str:
        """Returns what callers are told about where the staged picture stands."""

    def keep_stage(self, job_id: str, worker: str) -> None:
        """Makes what `worker` has written reachable for others; before the stage is recorded."""

    def take_over(self, job_id: str, worker: str, *, before: str) -> None:
        """Gives `worker` what the recorded stages of the worker `before` left."""

    def publish(self, job_id: str, worker: str) -> None:
        """Makes the results of `worker` the job's, unless it has some."""

    def is_published(self, job_id: str) -> bool:
        """Whether the job has all its results."""

    def output(self, job: Job) -> Path:
        """Returns the folder on this machine with the results of a finished job."""

    def output_name(self, job: Job) -> str:
        """Returns where the results stand, as callers are told."""

    def clear(self, job_id: str) -> None:
        """Removes what only the running job needed."""

    def remove(self, job_id: str) -> None:
        """Removes every file of the job. Raises OSError when one stays."""


@dataclass(frozen=True)
class SharedFolder:
    """Files in folders that all processes see: on one machine, or mounted on each of a fleet."""

    config: GatewayConfig

    def keep_input(self, job_id: str) -> None:
        """It stands where everybody looks."""

    def fetch_input(self, job_id: str) -> None:
        """It is here."""

    def workspace(self, job_id: str, worker: str) -> Workspace:
        """Returns where `worker` writes; told as the place where the results will stand."""
        folders = JobFolders.of(job_id, self.config)
        output, work = folders.of_worker(worker)
        return Workspace(output=output, work=work, shown_as=str(folders.output))

    def shown_input(self, job_id: str, name: str) -> str:
        """Returns the absolute path."""
        return str(JobFolders.of(job_id, self.config).input / name)

    def keep_stage(self, job_id: str, worker: str) -> None:
        """It stands where everybody looks."""

    def take_over(self, job_id: str, worker: str, *, before: str) -> None:
        """Copies all its files; what is there of an unrecorded stage, that stage writes anew."""
        running = JobFolders.of(job_id, self.config).running
        copy_files(running / before, running / worker)

    def publish(self, job_id: str, worker: str) -> None:
        """Renames the folder; a folder that is there and not empty cannot be renamed over."""
        folders = JobFolders.of(job_id, self.config)
        output, _ = folders.of_worker(worker)
        try:
            output.rename(folders.output)
        except OSError:
            if not self.is_published(job_id):
                raise
        self.clear(job_id)

    def is_published(self, job_id: str) -> bool:
        """Whether the job's folder is in its place: it comes there whole."""
        return (JobFolders.of(job_id, self.config).output / _SUMMARY).exists()

    def output(self, job: Job) -> Path:
        """Returns the job's folder."""
        return JobFolders.of(job.id, self.config).output

    def output_name(self, job: Job) -> str:
        """Returns the path of the job's folder."""
        return str(self.output(job))

    def clear(self, job_id: str) -> None:
        """Removes the folders of all workers that ran it."""
        shutil.rmtree(JobFolders.of(job_id, self.config).running, ignore_errors=True)

    def remove(self, job_id: str) -> None:
        """Removes the job's folders."""
        JobFolders.of(job_id, self.config).remove()


def copy_files(source: Path, target: Path) -> None:
    """Copies the files below `source`, in the place of those that `target` has.

    Halves of files are left out, and `target` never holds any.

    Raises:
        FileNotFoundError: there is no `source`.
    """
    if not source.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the files of finished stages are gone", str(source))
    for path in source.rglob("*"):
        if path.is_dir() or path.name.startswith("."):
            continue
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        half = copy.with_name(f".half-{copy.name}")
        shutil.copy2(path, half)
        half.rename(copy)
