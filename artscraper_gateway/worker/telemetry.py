"""Telemetry of the jobs that a worker runs: log lines, metrics and spans."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from artscraper_gateway.jobs.models import Job, Outcome
from artscraper_gateway.observability.logging import log_context
from artscraper_gateway.observability.metrics import Metrics
from artscraper_gateway.observability.tracing import Tracing
from artscraper_runner import Cancelled, watch_timings

_log = logging.getLogger(__name__)


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

    def record_storage_error(self) -> None:
        """Count a job that has to wait for storage."""
        self.metrics.storage_errors.inc()

    def record_completed(self, job: Job, outcome: Outcome, *, recorded: bool) -> None:
        """Count and log the end of a job; `recorded` is whether this worker ended it."""
        if not recorded:
            return
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
