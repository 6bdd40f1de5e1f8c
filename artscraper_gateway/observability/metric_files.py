"""The memory-mapped files in which the processes of one machine keep their metrics.

prometheus_client writes and reads them. Added here: files of processes that have ended are merged
into one of each kind, and a file that cannot be read is left out instead of failing every scrape.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

_log = logging.getLogger(__name__)
# Allocated in full: a memory map that grows into a full disk kills its process.
_FILE_BYTES: Final = {"counter": 1 << 16, "histogram": 1 << 18}
_FILE_NAME = re.compile(r"(?:counter|histogram)_([a-z]+)-(\d+)\.db")
_BYTES_PER_KEY: Final = 32  # lengths, padding, value and time stamp
_DAMAGED = (RuntimeError, ValueError, struct.error)  # what reading such a file raises


@dataclass(frozen=True)
class MetricFiles:
    """The folder of one machine's files. A file is named by a kind, a role and a process id."""

    folder: Path

    def prepare(self, process: str) -> None:
        """Merge files of ended processes and allocate those of `process`, such as "web-4711".

        Raises:
            OSError: the folder cannot be made, or the disk is full.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked(fcntl.LOCK_EX):
            for kind in _FILE_BYTES:
                self._merge_ended(kind)
        for kind, size in _FILE_BYTES.items():
            _allocate(self.folder / f"{kind}_{process}.db", size)

    def sums(self) -> dict[str, Metric]:
        """Return the metrics by name, added up over all processes, ended ones included."""
        with self._locked(fcntl.LOCK_SH):
            merged = _read(sorted(self.folder.glob("*.db")), accumulate=True)
        return {metric.name: metric for metric in merged}

    def running(self) -> set[tuple[str, int]]:
        """Return role and process id of the processes that write here."""
        matches = (_FILE_NAME.fullmatch(path.name) for path in self.folder.glob("*.db"))
        processes = {(match[1], int(match[2])) for match in matches if match}
        return {(role, pid) for role, pid in processes if _is_alive(pid)}

    @contextmanager
    def _locked(self, operation: int) -> Iterator[None]:
        """Keep files from being merged while they are read."""
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, operation)
            yield
        finally:
            os.close(folder)

    def _merge_ended(self, kind: str) -> None:
        ended = [path for path in self.folder.glob(f"{kind}_*-*.db") if _has_ended(path)]
        if not ended:
            return
        target = self.folder / f"{kind}_ended.db"
        sums = {
            mmap_key(
                metric.name,
                sample.name,
                list(sample.labels.keys()),
                list(sample.labels.values()),
                metric.documentation,
            ): sample.value
            for metric in _read([*ended, *self.folder.glob(target.name)], accumulate=False)
            for sample in metric.samples
        }
        new = target.with_suffix(".new")
        new.unlink(missing_ok=True)
        _allocate(new, _BYTES_PER_KEY + sum(len(key.encode()) + _BYTES_PER_KEY for key in sums))
        stored = MmapedDict(str(new))  # type: ignore[no-untyped-call]
        for key, value in sums.items():
            stored.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
        stored.close()  # type: ignore[no-untyped-call]
        new.replace(target)
        for path in ended:
            path.unlink()


def _has_ended(path: Path) -> bool:
    match = _FILE_NAME.fullmatch(path.name)
    return match is not None and not _is_alive(int(match[2]))


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _allocate(path: Path, size: int) -> None:
    """Fill a new file with zeros; a file of an earlier process of this id is continued."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        try:
            file.seek(0, os.SEEK_END)
            file.write(bytes(max(0, size - file.tell())))
        except OSError:
            path.unlink()
            raise


def _read(paths: list[Path], *, accumulate: bool) -> list[Metric]:
    """Return the sums over files; one that a crash of the system has damaged is left out."""
    try:
        return _merge(paths, accumulate)
    except _DAMAGED:
        return _merge([path for path in paths if _is_intact(path)], accumulate)


def _merge(paths: list[Path], accumulate: bool) -> list[Metric]:
    names = [str(path) for path in paths]
    return list(MultiProcessCollector.merge(names, accumulate))  # type: ignore[no-untyped-call]


def _is_intact(path: Path) -> bool:
    try:
        _merge([path], accumulate=False)
    except _DAMAGED as error:
        _log.warning("%s is damaged and left out of the metrics: %s", path.name, error)
        return False
    return True
