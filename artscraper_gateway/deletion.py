"""Delete a job: stop it, wait for its worker to let go, remove every file, forget it.

A deletion that is interrupted goes on at the next start: the row says so until the files are gone.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anyio import CapacityLimiter

from artscraper_gateway.config import GatewayConfig
from artscraper_gateway.folders import READING_PREFIX, is_job_id
from artscraper_gateway.job_queue import JobQueue
from artscraper_gateway.storage import Storage
from artscraper_gateway.store import JobStore

_log = logging.getLogger(__name__)
_LET_GO_TIMEOUT_S = 15.0  # longer than any stage takes between two looks at should_stop
_LOOK_EVERY_S = 0.02
_AT_ONCE = 16
_STAGING_S = 3600.0  # a folder without a row may belong to an upload that is still coming in


@dataclass(frozen=True)
class Deletion:
    """Removes jobs and what interrupted ones left behind."""

    config: GatewayConfig
    store: JobStore
    queue: JobQueue
    storage: Storage
    threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_AT_ONCE))

    def delete(self, job_id: str) -> bool:
        """Deletes the job; False when there was none. Blocks while its worker lets go."""
        if not self.store.mark_deleting(job_id):
            return False
        self._complete(job_id)
        return True

    def delete_all(self, job_ids: Sequence[str]) -> None:
        """Deletes the jobs as `delete` does; all are marked first, so that none of them begins."""
        for job_id in [each for each in job_ids if self.store.mark_deleting(each)]:
            self._complete(job_id)

    def finish_interrupted(self) -> None:
        """Completes deletions that an earlier process began, and removes abandoned uploads."""
        for job_id in self.store.deleting_ids():
            self._complete(job_id)
        for folder in self.config.base_dir.iterdir():
            try:
                self._remove_abandoned(folder)
            except OSError:
                _log.exception("an abandoned upload could not be removed")

    def _remove_abandoned(self, folder: Path) -> None:
        upload = is_job_id(folder.name) and not self.store.exists(folder.name)
        reading = folder.name.startswith(READING_PREFIX)
        if (upload or reading) and time.time() - folder.stat().st_mtime > _STAGING_S:
            shutil.rmtree(folder)

    def _complete(self, job_id: str) -> None:
        self.queue.cancel(job_id)
        deadline = time.monotonic() + _LET_GO_TIMEOUT_S
        while self.store.holder(job_id) is not None and time.monotonic() < deadline:
            # Another process holds the job; the database is the only place that both can see.
            time.sleep(_LOOK_EVERY_S)
        try:
            self.storage.remove(job_id)
        except OSError:
            _log.exception("files of job %s could not be removed; trying at the next start", job_id)
            return
        self.queue.forget(job_id)
        self.store.remove(job_id)
