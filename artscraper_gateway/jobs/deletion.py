"""Delete a job: stop it, wait until its worker has left it, remove every file, then its row.

A deletion that is interrupted is finished minutes later: the row stays until the files are gone.
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

from artscraper_gateway.db.retry import is_full, log_outage
from artscraper_gateway.jobs.leases import Leases
from artscraper_gateway.jobs.queue import JobQueue
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import Storage, StorageUnavailable
from artscraper_gateway.storage.objects import open_storage
from artscraper_gateway.storage.paths import (
    READING_PREFIX,
    is_older_than,
    machine_name,
    partial_downloads,
)

_log = logging.getLogger(__name__)
LEFTOVERS_EVERY_S = 30.0  # by each worker and web process, so that deleted files go in a minute
_RELEASE_TIMEOUT_S = 15.0  # longer than any stage takes between two checks of should_stop
_POLL_S = 0.02
_CONCURRENT = 16
_FINISH_EVERY_S = 300.0
_STALE_S = 3600.0  # before, an upload without a row may still be coming in


@dataclass(frozen=True)
class Deletion:
    """Removes jobs, and what interrupted deletions and uploads left behind."""

    config: GatewayConfig
    store: JobStore
    queue: JobQueue
    storage: Storage
    threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_CONCURRENT))

    def delete(self, job_id: str) -> bool:
        """Delete the job; False if there was none. Blocks until its worker has left it."""
        exists = self._mark(job_id)
        if exists:
            self._complete(job_id)
        return exists

    def delete_all(self, job_ids: Sequence[str]) -> None:
        """Delete the jobs as `delete` does; all are marked first, so that none of them starts."""
        for job_id in [each for each in job_ids if self._mark(each)]:
            self._complete(job_id)

    async def clean_up_regularly(self, stopping: asyncio.Event) -> None:
        """Clean up until `stopping` is set.

        Leftovers on this machine are removed now and every half minute, interrupted deletions are
        finished now and every few minutes.
        """
        due_at = time.monotonic()
        while not stopping.is_set():
            try:
                await run_sync(remove_leftovers, self.storage, self.store)
                if time.monotonic() >= due_at:
                    due_at = time.monotonic() + _FINISH_EVERY_S
                    await run_sync(self.finish_interrupted)
            except (OSError, sa.exc.SQLAlchemyError) as error:
                _log.warning("deleted jobs cannot be cleaned up for now: %s", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), LEFTOVERS_EVERY_S)

    def finish_interrupted(self) -> None:
        """Complete interrupted deletions, and remove uploads that became no job."""
        for job_id in self.store.deleting_ids():
            self._complete(job_id)
        uploads = set(self.storage.stale_uploads(older_than_s=_STALE_S))
        for job_id in uploads - self.store.existing_ids(uploads):
            try:
                self.storage.remove_upload(job_id)
            except OSError:
                _log.exception("an abandoned upload could not be removed")
        downloads = partial_downloads(self.config)
        for folder in (*self.config.base_dir.glob(f"{READING_PREFIX}*"), *downloads.glob("*")):
            if is_older_than(folder, _STALE_S):
                shutil.rmtree(folder, ignore_errors=True)

    def _mark(self, job_id: str) -> bool:
        """Hide the job; on a full disk, after removing its files. False if it is unknown."""
        try:
            return self.store.mark_deleting(job_id)
        except sa.exc.OperationalError as error:
            if not is_full(error) or not self._make_room(job_id):
                raise
            return self.store.mark_deleting(job_id)

    def _make_room(self, job_id: str) -> bool:
        """Remove the files of a finished job before it is marked; False if it is unknown."""
        job = self.store.find(job_id)
        if job is None or not job.is_finished:
            return False
        self._remove_files(job_id)
        return True

    def _complete(self, job_id: str) -> None:
        """Stop the job, remove its files, then its row."""
        try:
            self._stop(job_id)
            self._remove_files(job_id)
            self.queue.forget(job_id)
            self.store.remove(job_id)
        except (OSError, sa.exc.SQLAlchemyError, StorageUnavailable):
            _log.exception("job %s could not be removed completely; trying again later", job_id)

    def _remove_files(self, job_id: str) -> None:
        """Remove the files from the present storage, and from where the results were written."""
        self.storage.remove(job_id)
        written_to = self.store.results_in(job_id)
        if written_to is None or written_to == str(self.config.output_parent):
            return
        place: Path | str = written_to if "://" in written_to else Path(written_to)
        open_storage(self.config.model_copy(update={"output_parent": place})).remove(job_id)

    def _stop(self, job_id: str) -> None:
        """Return when no worker has the job, or its worker did not leave it in time."""
        try:
            self.queue.cancel(job_id)
        except sa.exc.SQLAlchemyError as error:  # its worker notices that the job is hidden
            _log.warning("job %s is still in the queue: %s", job_id, error.__cause__)
        deadline = time.monotonic() + _RELEASE_TIMEOUT_S
        owner = Leases(self.store.engine).owner
        while owner(job_id) is not None and time.monotonic() < deadline:
            time.sleep(_POLL_S)


def remove_leftovers(storage: Storage, store: JobStore) -> None:
    """Remove what this machine keeps of jobs that were deleted, or ended or run elsewhere."""
    try:
        for folder in storage.running_folders():
            if not _is_needed(folder.name, store, shared=storage.shares_running_folders):
                shutil.rmtree(folder, ignore_errors=True)
        cached = list(storage.cached_jobs())
        existing = store.existing_ids({folder.name for folder in cached})
        for folder in cached:
            if folder.name not in existing:
                shutil.rmtree(folder, ignore_errors=True)
    except (OSError, sa.exc.SQLAlchemyError) as error:
        log_outage(_log, "files of former jobs cannot be removed for now", error)


def _is_needed(job_id: str, store: JobStore, *, shared: bool) -> bool:
    """Return whether a worker may still write there: of any machine if they share the folder."""
    owner = Leases(store.engine).owner(job_id)
    if owner is not None:
        return shared or owner.startswith(f"{machine_name()}.")
    job = store.find(job_id)
    return job is not None and not job.is_finished
