"""Where a job's files stand on this machine: its intake under base_dir, its results elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from artscraper_gateway.settings.model import GatewayConfig

_JOB_ID = re.compile(r"[0-9a-f]{32}")
RUNNING = ".running"
READING_PREFIX = "reading-"  # of the folders that pictures lie in while their watermark is read
_REMOVE_TRIES = 50
_REMOVE_PAUSE_S = 0.02


@dataclass(frozen=True)
class JobFolders:
    """The folders of one job. All are named by the job's id, never by what a caller sent."""

    intake: Path
    output: Path

    @classmethod
    def of(cls, job_id: str, config: GatewayConfig) -> JobFolders:
        """Returns the folders of the job `job_id`, whether they exist or not.

        Raises:
            ValueError: not an id that this gateway makes.
        """
        if not is_job_id(job_id):
            raise ValueError(f"expected 32 hexadecimal digits, got {job_id!r}")
        return cls(config.base_dir / job_id, config.output_folder / job_id)

    @property
    def input(self) -> Path:
        """Where the upload stays until the job is deleted."""
        return self.intake / "input"

    @property
    def running(self) -> Path:
        """Where workers write, each in a folder of its own, until the results are whole."""
        return self.output.parent / RUNNING / self.output.name

    def of_worker(self, worker: str) -> tuple[Path, Path]:
        """Returns where `worker` writes the results, and what only the running job needs."""
        return self.running / worker / "output", self.running / worker / "work"

    @property
    def previews(self) -> Path:
        """Small copies of layers, made when they are asked for."""
        return self.intake / "previews"

    def disk_bytes(self, worker: str) -> int:
        """Returns how many bytes stay of the job when the results of `worker` are published."""
        fetched = self.running / "input"  # from object storage; else the picture lies in the intake
        total = 0
        for folder in (fetched if fetched.is_dir() else self.intake, self.of_worker(worker)[0]):
            for place, _, names in os.walk(folder):
                for name in names:
                    with suppress(FileNotFoundError):
                        total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118
        return total

    def remove(self) -> None:
        """Removes all folders, also while a worker that was told to stop still writes into them.

        Raises:
            OSError: something else keeps a file there.
        """
        for folder in (self.intake, self.running, self.output):
            _remove_tree(folder)

    def remove_intake(self) -> None:
        """Removes the upload and what was made of it for callers; raises as `remove`."""
        _remove_tree(self.intake)


def write_soon(*folders: Path) -> None:
    """Has the kernel begin to write what is in the folders to their disk, without waiting for it.

    Left alone it writes files half a minute later, and those of hundreds of jobs at once: whoever
    forces a commit to the same disk in that moment waits for a third of a second.
    """
    if not hasattr(os, "posix_fadvise"):  # macOS
        return
    for folder in folders:
        with suppress(OSError):  # a hint, and no more
            for path in filter(Path.is_file, folder.rglob("*")):
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def is_job_id(text: str) -> bool:
    """Whether `text` has the form of this gateway's job ids: 32 hexadecimal digits."""
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
