"""Check whether results and uploads can be stored, so that no job is accepted in vain."""

from __future__ import annotations

import errno
import shutil
import threading
import time
from dataclasses import dataclass, field

from artscraper_gateway.errors import DiskFull, GatewayError, StorageFailed
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import Storage

_FRESH_S = 2.0
_FRESH_OBJECTS_S = 10.0  # of object storage, where each check is two requests
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


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
        """Raise what `problem` returns.

        Raises:
            DiskFull, StorageFailed: nothing can be stored now.
        """
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
