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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import SUMMARY
from artscraper_gateway.storage.paths import JobFolders, write_soon
from artscraper_runner import Workspace


@dataclass(frozen=True)
class SharedFolder:
    """Files in folders that all processes see: on one machine, or mounted on each of a fleet."""

    config: GatewayConfig

    def keep_input(self, job_id: str) -> None:
        """It stands where everybody looks."""

    def end_staging(self, job_id: str) -> None:
        """The staged picture is the job's own."""

    def fetch_input(self, job_id: str) -> Path:
        """Returns where it was staged."""
        return self._folders(job_id).input

    def received(self, job_id: str) -> Path:
        """Returns where it was staged."""
        return self._folders(job_id).input

    def shown_input(self, job_id: str, name: str) -> str:
        """Returns the absolute path."""
        return str(self._folders(job_id).input / name)

    def workspace(self, job_id: str, worker: str) -> Workspace:
        """Returns the worker's own folder, beside the place for the results."""
        folders = self._folders(job_id)
        output, work = folders.of_worker(worker)
        return Workspace(output=output, work=work, shown_as=self.shown_output(job_id))

    def keep_stage(self, job_id: str, worker: str) -> None:
        """It stands where everybody looks."""

    def take_over(self, job_id: str, worker: str, *, before: str) -> None:
        """Copies the files: the other worker may wake and write into its own."""
        running = self._folders(job_id).running
        copy_files(running / before, running / worker)

    def publish(self, job_id: str, worker: str) -> None:
        """Renames the folder; a folder that is there and not empty cannot be renamed over."""
        folders = self._folders(job_id)
        output, _ = folders.of_worker(worker)
        try:
            output.rename(folders.output)
        except OSError:
            if not self.is_published(job_id):
                raise
        self.clear(job_id)
        write_soon(folders.input, folders.output)

    def is_published(self, job_id: str) -> bool:
        """Whether the job's folder is in its place: it comes there whole."""
        return (self._folders(job_id).output / SUMMARY).exists()

    def output(self, job_id: str) -> Path:
        """Returns the job's folder."""
        return self._folders(job_id).output

    def shown_output(self, job_id: str) -> str:
        """Returns the folder's absolute path."""
        return str(self._folders(job_id).output)

    def previews(self, job_id: str) -> Path:
        """Returns the one beside the upload."""
        return self._folders(job_id).previews

    def copies(self) -> Iterator[Path]:
        """Yields none: there is one of everything."""
        return iter(())

    def clear(self, job_id: str) -> None:
        """Removes the folders of all workers that ran it."""
        shutil.rmtree(self._folders(job_id).running, ignore_errors=True)

    def remove_upload(self, job_id: str) -> None:
        """Removes the folder that it was staged in."""
        self._folders(job_id).remove_intake()

    def remove(self, job_id: str) -> None:
        """Removes the job's folders."""
        self._folders(job_id).remove()

    def _folders(self, job_id: str) -> JobFolders:
        return JobFolders.of(job_id, self.config)


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
