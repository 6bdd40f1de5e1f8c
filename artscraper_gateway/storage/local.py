"""Files in folders. Results become visible complete, once, and are never replaced.

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
from dataclasses import dataclass
from pathlib import Path

from artscraper_gateway.storage.base import SUMMARY, Storage
from artscraper_gateway.storage.paths import hint_writeback


@dataclass(frozen=True)
class LocalStorage(Storage):
    """Files in folders that all processes share: of one machine, or mounted on each of a fleet."""

    shares_running_folders = True

    def fetch_input(self, job_id: str) -> Path:
        return self._folders(job_id).input

    def local_input(self, job_id: str) -> Path:
        return self._folders(job_id).input

    def public_input_path(self, job_id: str, name: str) -> str:
        return str(self._folders(job_id).input / name)

    def take_over(self, job_id: str, worker: str, *, before: str) -> None:
        """Copy the files: the other worker may wake up and write into its own."""
        running = self._folders(job_id).running
        copy_files(running / before, running / worker)

    def publish(self, job_id: str, worker: str) -> None:
        """Rename the folder; one that exists and is not empty cannot be renamed over."""
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
        """Return whether the job's folder is in its place: it is moved there complete."""
        return (self._folders(job_id).output / SUMMARY).exists()

    def output(self, job_id: str) -> Path:
        return self._folders(job_id).output

    def public_output_path(self, job_id: str) -> str:
        return str(self._folders(job_id).output)

    def previews(self, job_id: str) -> Path:
        return self._folders(job_id).previews

    def check_writable(self) -> None:
        """Write and remove a file in base_dir and in output_parent, which is made if missing."""
        self.config.output_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.config.base_dir, self.config.output_folder):
            probe = folder / f".probe-{secrets.token_hex(6)}"
            try:
                probe.write_bytes(b"x" * 4096)
            finally:
                probe.unlink(missing_ok=True)


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
