"""Paths of a job's files on this machine: its upload under base_dir, its results elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from artscraper_gateway.settings.model import GatewayConfig

_JOB_ID = re.compile(r"[0-9a-f]{32}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9-]+")
RUNNING = ".running"
READING_PREFIX = "reading-"  # prefix of folders with pictures for watermark reading
_REMOVE_TRIES = 50
_REMOVE_PAUSE_S = 0.02


@dataclass(frozen=True)
class JobFolders:
    """The folders of one job, named by its id and never by client input."""

    intake: Path
    output: Path

    @classmethod
    def of(cls, job_id: str, config: GatewayConfig) -> JobFolders:
        """Return the folders of a job, whether they exist or not.

        Raises:
            ValueError: not an id that this gateway makes.
        """
        if not is_job_id(job_id):
            raise ValueError(f"expected 32 hexadecimal digits, got {job_id!r}")
        return cls(config.base_dir / job_id, config.output_folder / job_id)

    @property
    def input(self) -> Path:
        """The upload, kept until the job is deleted."""
        return self.intake / "input"

    @property
    def running(self) -> Path:
        """The files of running jobs, one folder per worker, until the results are complete."""
        return self.output.parent / RUNNING / self.output.name

    def of_worker(self, worker: str) -> tuple[Path, Path]:
        """Return where `worker` writes the results, and what only the running job needs."""
        return self.running / worker / "output", self.running / worker / "work"

    @property
    def previews(self) -> Path:
        """Small copies of layers, made on request."""
        return self.intake / "previews"

    def disk_bytes(self, worker: str) -> int:
        """Return the bytes of the job's files once the results of `worker` are published."""
        fetched = self.running / "input"  # from object storage; else the upload is in the intake
        intake = fetched if fetched.is_dir() else self.intake
        return bytes_below(intake) + bytes_below(self.of_worker(worker)[0])

    def remove(self) -> None:
        """Remove all folders, even while a worker that was stopped still writes into them.

        Raises:
            OSError: a file could not be removed.
        """
        for folder in (self.intake, self.running, self.output):
            _remove_tree(folder)

    def remove_intake(self) -> None:
        """Remove the upload and the previews; raises as `remove`."""
        _remove_tree(self.intake)


def bytes_below(folder: Path) -> int:
    """Return the bytes of all files below `folder`, without those that are removed meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(place, name).lstat().st_size
    return total


def machine_name() -> str:
    """Return the host name, which must be unique in a fleet, as a name of folders."""
    return _NOT_IN_NAMES.sub("-", socket.gethostname())


def partial_downloads(config: GatewayConfig) -> Path:
    """Return the folder of downloads from object storage that are not complete."""
    return config.output_folder / ".partial"


def hint_writeback(*folders: Path) -> None:
    """Ask the kernel to begin writing the files in the folders to disk, without waiting for it.

    Otherwise it writes them half a minute later, hundreds of jobs at once, and a database commit on
    the same disk waits for a third of a second.
    """
    if not hasattr(os, "posix_fadvise"):  # macOS
        return
    for folder in folders:
        with suppress(OSError):
            for path in filter(Path.is_file, folder.rglob("*")):
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def job_folders_in(folder: Path) -> Iterator[Path]:
    """Yield entries of `folder` that are named like a job; none if it is missing."""
    with suppress(FileNotFoundError):
        yield from (path for path in folder.iterdir() if is_job_id(path.name))


def is_older_than(path: Path, seconds: float) -> bool:
    """Return whether `path` exists and has not changed for that long."""
    try:
        return time.time() - path.stat().st_mtime > seconds
    except FileNotFoundError:
        return False


def is_job_id(text: str) -> bool:
    """Return whether `text` is 32 hexadecimal digits, as job ids are."""
    return _JOB_ID.fullmatch(text) is not None


def _remove_tree(folder: Path) -> None:
    for attempt in range(_REMOVE_TRIES):
        if not folder.exists():
            return
        try:
            shutil.rmtree(folder)
        except OSError:  # a file came or went between the listing and the removal
            if attempt == _REMOVE_TRIES - 1:
                raise
            time.sleep(_REMOVE_PAUSE_S)
