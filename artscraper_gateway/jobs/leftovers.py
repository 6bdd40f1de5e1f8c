"""Remove files of jobs that this machine no longer has: of dead workers, or deleted elsewhere."""

from __future__ import annotations

import logging
import shutil

import sqlalchemy as sa

from artscraper_gateway.db.outage_log import log_outage
from artscraper_gateway.jobs.leases import Leases
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.settings.machine import machine_name
from artscraper_gateway.storage.base import Storage

_log = logging.getLogger(__name__)
LEFTOVERS_EVERY_S = 30.0  # by each worker and web process, so that deleted files go in a minute


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
