"""The durable workflow of a job on the worker's side: take it, run it, end it or put it back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import sqlalchemy as sa
from dbos import DBOS

from artscraper_gateway.db.retry import is_full, is_outage, retry_on_outage
from artscraper_gateway.jobs.leases import LeaseLost, Leases
from artscraper_gateway.jobs.models import Job, Outcome
from artscraper_gateway.jobs.queue import WORKFLOW
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.observability.logging import log_context
from artscraper_gateway.observability.metrics import Metrics
from artscraper_gateway.observability.tracing import Tracing
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import Storage
from artscraper_gateway.storage.paths import JobFolders
from artscraper_gateway.worker.failures import (
    StorageOutage,
    is_out_of_memory,
    public_reason,
    storage_outage,
)
from artscraper_gateway.worker.steps import JobSteps
from artscraper_runner import Cancelled, watch_timings

_log = logging.getLogger(__name__)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 2.0, 300.0


@dataclass(frozen=True)
class JobObserver:
    """Log, count and trace the jobs of one worker process."""

    metrics: Metrics
    tracing: Tracing

    def named(self, job: Job) -> AbstractContextManager[None]:
        """Add the ids of the job and of its HTTP request to every log line of the block."""
        return log_context(job_id=job.id, request_id=job.request.origin.get("request_id", ""))

    @contextmanager
    def run(self, job: Job) -> Iterator[None]:
        """Trace the job below the span of its request, and time its parts."""
        if job.stage is None:  # its first run
            waited_s = max(0.0, time.time() - job.submitted_at)
            self.metrics.queue_wait_seconds.labels(job.queue).observe(waited_s)
        with (
            watch_timings(self._note),
            self.tracing.span("job", kind="consumer", parent=job.request.origin, job__id=job.id),
        ):
            yield

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Trace a stage, and count its time or its failure."""
        started = time.perf_counter()
        try:
            with self.tracing.span(f"stage {name}", stage=name):
                yield
        except Cancelled:
            raise
        except Exception:
            self.metrics.stage_failures.labels(name).inc()
            raise
        self.metrics.stage_seconds.labels(name).observe(time.perf_counter() - started)

    def record_completed(self, job: Job, outcome: Outcome) -> None:
        """Count and log the end of a job."""
        status = "failed" if outcome.error else "done"
        taken_s = max(0.0, time.time() - job.submitted_at)
        self.metrics.jobs_ended.labels(status).inc()
        self.metrics.job_seconds.labels(status).observe(taken_s)
        _log.info("%s, %.2f s after its submission", status, taken_s)

    def _note(self, part: str, name: str, taken_s: float) -> None:
        is_processor = part == "processor"
        metrics = self.metrics
        histogram = metrics.processor_seconds if is_processor else metrics.encoder_load_seconds
        histogram.labels(name).observe(taken_s)


@dataclass
class JobRunner:
    """Runs jobs in this process, which is registered as `worker`.

    `on_out_of_memory` is called after a job that ran out of memory has ended.
    """

    config: GatewayConfig
    store: JobStore
    storage: Storage
    worker: str
    observer: JobObserver
    on_out_of_memory: Callable[[], None] = lambda: None

    def register(self) -> None:
        """Register the workflow with DBOS; must precede its launch."""

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
        def run_job(job_id: str) -> None:
            self.run(job_id)

    def run(self, job_id: str) -> None:
        """Run one job. Which steps it takes depends on the job's request alone."""
        leases = Leases(self.store.engine)
        job = retry_on_outage(self.store.find, job_id)
        if job is not None and retry_on_outage(leases.acquire, job_id, worker=self.worker):
            JobExecution(self, job).run()
        elif job is not None and job.is_finished and retry_on_outage(leases.owner, job_id) is None:
            self.clear(job_id)  # a worker that died left files of a job that was cancelled

    def clear(self, job_id: str) -> None:
        """Remove the files that only the running job needed."""
        try:
            self.storage.clear(job_id)
        except OSError:
            _log.exception("temporary files of job %s could not be removed", job_id)


@dataclass
class JobExecution:
    """One execution of a job that is leased to this worker."""

    runner: JobRunner
    job: Job
    _has_ended: bool = field(default=False, init=False)

    def run(self) -> None:
        """Run the job to its end, or put it back to wait for storage.

        Raises:
            LeaseLost: others have it; the queue must not record an end here.
            StorageOutage: it waits; the workflow stays open until it is requeued.
        """
        runner = self.runner
        try:
            with runner.observer.named(self.job):
                outcome = self._outcome()
                if outcome is not None:
                    self._has_ended = self._finish(outcome)
                    if self._has_ended:
                        runner.observer.record_completed(self.job, outcome)
        except StorageOutage:
            raise  # the lease was released; written files stay for the next execution
        except BaseException:
            self._release()
            raise
        self._release()

    def produce(self) -> int | None:
        """Run the steps and publish the results; return their bytes, None if already published."""
        runner, job = self.runner, self.job
        if runner.storage.is_published(job.id):  # by a worker that died before it could end it
            return None
        JobSteps(
            job, runner.config, runner.store, runner.storage, runner.worker, runner.observer.stage
        ).run_all()
        size = JobFolders.of(job.id, runner.config).disk_bytes(runner.worker)
        runner.storage.publish(job.id, runner.worker)
        return size

    def _outcome(self) -> Outcome | None:
        """Return how the job ended; None if it was cancelled or deleted meanwhile."""
        results_in = str(self.runner.config.output_parent)
        try:
            with self.runner.observer.run(self.job):
                return Outcome(self.job.id, None, self.produce(), results_in)
        except Cancelled:
            _log.info("job %s was cancelled", self.job.id)
            return None
        except (Exception, StorageOutage) as error:
            if self._is_published():
                return Outcome(self.job.id, None, None, results_in)
            reason = storage_outage(error)
            if reason is not None and self._postpone(reason):
                raise StorageOutage(reason) from error
            _log.warning("job %s failed: %s", self.job.id, error, exc_info=error)
            if is_out_of_memory(error):
                self.runner.on_out_of_memory()
            return Outcome(self.job.id, public_reason(error), None)

    def _is_published(self) -> bool:
        """Return whether an expired worker has published the job all the same.

        Publishing removes the folders of all workers that run the job, so their steps break.
        """
        try:
            return self.runner.storage.is_published(self.job.id)
        except OSError:
            return False

    def _postpone(self, reason: str) -> bool:
        """Put the job back to wait; False if it waited for `storage_retry_for` already."""
        limit_s = self.runner.config.storage_retry_for
        job = retry_on_outage(self.runner.store.find, self.job.id) or self.job
        if time.time() - (job.retry_since or time.time()) >= limit_s:
            return False
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**job.retry_count, limit_s)
        _log.warning("job %s waits %.0f s for storage: %s", job.id, pause_s, reason)
        self.runner.observer.metrics.storage_errors.inc()
        postpone = self.runner.store.postpone
        retry_on_outage(postpone, job.id, worker=self.runner.worker, reason=reason, pause_s=pause_s)
        return True

    def _finish(self, outcome: Outcome) -> bool:
        """End the job; on a full disk, delete the files of one that failed to make room for it."""
        runner = self.runner
        try:
            return runner.store.finish(outcome, worker=runner.worker)
        except sa.exc.SQLAlchemyError as error:
            if not is_outage(error):
                raise
            if is_full(error) and outcome.error:
                runner.clear(outcome.job_id)
        return retry_on_outage(runner.store.finish, outcome, worker=runner.worker)

    def _release(self) -> None:
        """Leave a job that ended, was cancelled or deleted; LeaseLost if others have it."""
        runner, job_id = self.runner, self.job.id
        leases = Leases(runner.store.engine)
        if not self._has_ended:
            if retry_on_outage(runner.store.find, job_id) is None:
                runner.storage.remove(job_id)  # written while the job was being removed
            if not retry_on_outage(leases.is_registered, runner.worker):
                raise LeaseLost(runner.worker)
        runner.clear(job_id)
        if not self._has_ended:
            retry_on_outage(leases.release, job_id, worker=runner.worker)
