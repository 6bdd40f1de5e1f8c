"""The durable workflow of a job, on the worker's side: whether it is wanted, its steps, its end.

When a worker dies, another one, or the next one in its slot, takes its jobs up and goes on behind
the last recorded step; the step it died in runs again from its beginning. The steps are in
`job_steps.py`; where files stand meanwhile is told in `storage.py`.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from dbos import DBOS, PortableWorkflowError

from artscraper_gateway.db.retry import is_full, is_outage, patiently
from artscraper_gateway.jobs.leases import WorkerGivenUp
from artscraper_gateway.jobs.models import Job, Outcome
from artscraper_gateway.jobs.queue import LIGHT, WORKFLOW
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import Storage
from artscraper_gateway.storage.paths import JobFolders
from artscraper_gateway.worker.steps import ORIGINAL, JobSteps
from artscraper_gateway.worker.telemetry import JobObserver
from artscraper_runner import Cancelled, RunnerError

_log = logging.getLogger(__name__)


@dataclass
class JobRunner:
    """Runs jobs in this worker process, which is registered as `worker`."""

    config: GatewayConfig
    store: JobStore
    storage: Storage
    worker: str
    observer: JobObserver

    def register(self) -> None:
        """Makes the workflow known to DBOS; must come before its launch."""

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
        def run_job(job_id: str) -> None:
            self.run(job_id)

    def run(self, job_id: str) -> None:
        """The workflow. Which steps it takes depends on the job's request alone."""
        job = patiently(self.store.find, job_id)
        if job is None or not patiently(self.store.hold, job_id, worker=self.worker):
            self._tidy_unheld(job_id)
            return
        ended: set[str] = set()
        try:
            outcome = self.outcome_of(job, lambda: self._steps(job).take_all())
            if outcome is not None:
                ended = self._finish(outcome)
                self.observer.tell_ended([job], [outcome], ended)
        finally:
            self.part_from(job_id, ended=job_id in ended)

    def _tidy_unheld(self, job_id: str) -> None:
        """Removes what a worker has left that died in a job which was cancelled before."""
        job = patiently(self.store.find, job_id)
        if job is not None and job.is_finished and patiently(self.store.holder, job_id) is None:
            self._tidy(job_id)

    def _finish(self, outcome: Outcome) -> set[str]:
        """Ends the job; the files of one that failed go first where they leave no room for that."""
        try:
            return self.store.finish_all([outcome], worker=self.worker)
        except sa.exc.SQLAlchemyError as error:
            if not is_outage(error):
                raise
            if is_full(error) and outcome.error:
                self._tidy(outcome.job_id)
        return patiently(self.store.finish_all, [outcome], worker=self.worker)

    def take_light(self, at_most: int) -> list[Job]:
        """Takes jobs of the light queue: those that ask for neither analysis nor protection."""
        return patiently(self.store.take, LIGHT, ORIGINAL, worker=self.worker, at_most=at_most)

    def file_away(self, job: Job) -> Outcome | None:
        """Runs a light job that was taken; returns how it ended, None = it is not wanted."""
        return self.outcome_of(job, lambda: self._steps(job).file_away())

    def outcome_of(self, job: Job, make_results: Callable[[], None]) -> Outcome | None:
        """Returns how the job ends; None when it was cancelled or deleted meanwhile."""
        with self.observer.named(job):
            try:
                with self.observer.run(job):
                    return Outcome(job.id, None, self._publish(job, make_results))
            except Cancelled:
                _log.info("job %s was cancelled", job.id)
                return None
            except Exception as error:
                if self._was_overtaken(job):
                    return Outcome(job.id, None, None)
                return Outcome(job.id, _reason(job, error), None)

    def _was_overtaken(self, job: Job) -> bool:
        """Whether a worker that was given up has published the job all the same.

        Publishing removes the folders of all who run the job, so that the others break off.
        """
        try:
            return self.storage.is_published(job.id)
        except OSError:  # then nobody knows, and the first reason is what is told
            return False

    def _steps(self, job: Job) -> JobSteps:
        during = self.observer.stage
        return JobSteps(job, self.config, self.store, self.storage, self.worker, during)

    def part_from(self, job_id: str, *, ended: bool) -> None:
        """Leaves a job that has ended, or that is cancelled or deleted.

        Raises:
            WorkerGivenUp: others have it, and the queue must not think that it has ended here.
        """
        if not ended:
            self._check_lost(job_id)
        self._tidy(job_id)
        if not ended:
            patiently(self.store.let_go, job_id, worker=self.worker)

    def _check_lost(self, job_id: str) -> None:
        if patiently(self.store.find, job_id) is None:
            self.storage.remove(job_id)  # what was written while it was being removed
        if not patiently(self.store.is_registered, self.worker):
            raise WorkerGivenUp(self.worker)

    def _tidy(self, job_id: str) -> None:
        try:
            self.storage.clear(job_id)
        except OSError:
            _log.exception("what job %s needed while it ran could not be removed", job_id)

    def _publish(self, job: Job, make_results: Callable[[], None]) -> int | None:
        """Makes the results; returns what they take on disk, None = not known any more."""
        if self.storage.is_published(job.id):  # by a worker that died before it could say so
            return None
        make_results()
        size = JobFolders.of(job.id, self.config).disk_bytes(self.worker)
        self.storage.publish(job.id, self.worker)
        return size


def _reason(job: Job, error: Exception) -> str:
    """The caller sees readable reasons only, the log the rest."""
    _log.warning("job %s failed: %s", job.id, error, exc_info=error)
    if isinstance(error, RunnerError | PortableWorkflowError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"the gateway could not store the results: {error.strerror}"
    if is_full(error):
        return f"the gateway could not store the results: {os.strerror(errno.ENOSPC)}"
    return "internal error; the gateway's log has the reason"
