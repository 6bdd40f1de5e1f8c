"""Delete a job: stop it, wait for its worker to let go, remove every file, forget it.

A deletion that is interrupted goes on some minutes later: the row says so until the files are gone.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from artscraper_gateway.db.retry import is_full
from artscraper_gateway.jobs.queue import JobQueue
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import Storage
from artscraper_gateway.storage.paths import READING_PREFIX, is_job_id

_log = logging.getLogger(__name__)
_LET_GO_TIMEOUT_S = 15.0  # longer than any stage takes between two looks at should_stop
_LOOK_EVERY_S = 0.02
_AT_ONCE = 16
_TIDY_EVERY_S = 300.0
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
        was_there = self._mark(job_id)
        if was_there:
            self._complete(job_id)
        return was_there

    def delete_all(self, job_ids: Sequence[str]) -> None:
        """Deletes the jobs as `delete` does; all are marked first, so that none of them begins."""
        for job_id in [each for each in job_ids if self._mark(each)]:
            self._complete(job_id)

    async def keep_tidy(self, stopping: asyncio.Event) -> None:
        """Finishes what was interrupted, now and every few minutes, until `stopping` is set."""
        while not stopping.is_set():
            try:
                await run_sync(self.finish_interrupted)
            except (OSError, sa.exc.SQLAlchemyError) as error:
                _log.warning("what is left of deleted jobs has to wait: %s", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), _TIDY_EVERY_S)

    def finish_interrupted(self) -> None:
        """Completes deletions that were interrupted, and removes what this machine has for nobody.

        That is abandoned uploads, and copies of results of jobs that another machine has deleted.
        """
        for job_id in self.store.deleting_ids():
            self._complete(job_id)
        left = {folder for folder in self.config.base_dir.iterdir() if _is_old(folder)}
        copies = set(self.storage.copies())
        known = self.store.which_exist({folder.name for folder in left | copies})
        for folder in left | copies:
            if folder.name in known:
                continue
            try:
                if folder in left and is_job_id(folder.name):
                    self.storage.remove_upload(folder.name)
                else:
                    shutil.rmtree(folder)
            except OSError:
                _log.exception("a folder of a job that is no more could not be removed")

    def _mark(self, job_id: str) -> bool:
        """Hides the job, on a full disk behind its files; False when there is none."""
        try:
            return self.store.mark_deleting(job_id)
        except sa.exc.OperationalError as error:
            if not is_full(error) or not self._make_room(job_id):
                raise
            return self.store.mark_deleting(job_id)

    def _make_room(self, job_id: str) -> bool:
        """Removes the files of a finished job before it is marked; False when there is none."""
        job = self.store.find(job_id)
        if job is None or not job.is_finished:
            return False
        self.storage.remove(job_id)
        return True

    def _complete(self, job_id: str) -> None:
        """Does what can be done now; the row stays until all is, and says so."""
        try:
            self._stop(job_id)
            self.storage.remove(job_id)
            self.queue.forget(job_id)
            self.store.remove(job_id)
        except (OSError, sa.exc.SQLAlchemyError):
            _log.exception("job %s could not be removed whole; trying again later", job_id)

    def _stop(self, job_id: str) -> None:
        """Returns when nobody works on the job any more, or has not let go of it in time."""
        try:
            self.queue.cancel(job_id)
        except sa.exc.SQLAlchemyError as error:  # its worker sees that the job is hidden
            _log.warning("job %s is still in the queue: %s", job_id, error.__cause__)
        deadline = time.monotonic() + _LET_GO_TIMEOUT_S
        while self.store.holder(job_id) is not None and time.monotonic() < deadline:
            # Another process holds the job; the database is the only place that both can see.
            time.sleep(_LOOK_EVERY_S)


def _is_old(folder: Path) -> bool:
    """Whether it is an upload, or a picture that was read, which came in a while ago."""
    if not is_job_id(folder.name) and not folder.name.startswith(READING_PREFIX):
        return False
    try:
        return time.time() - folder.stat().st_mtime > _STAGING_S
    except FileNotFoundError:
        return False
