"""Telemetry of the jobs that a worker runs: log lines, metrics and spans."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from artscraper_gateway.jobs.models import Job, Outcome
from artscraper_gateway.observability.logging import log_context
from artscraper_gateway.observability.metrics import (
    ENCODER_LOAD_SECONDS,
    JOB_SECONDS,
    JOBS_ENDED,
    PROCESSOR_SECONDS,
    QUEUE_WAIT_SECONDS,
    STAGE_FAILURES,
    STAGE_SECONDS,
    STORAGE_ERRORS,
    MetricsRegistry,
)
from artscraper_gateway.observability.tracing import Tracing
from artscraper_runner import Cancelled, watch_timings

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobObserver:
    """Logs, counts and traces the jobs of one worker process."""

    recorder: MetricsRegistry
    tracing: Tracing

    def named(self, job: Job) -> AbstractContextManager[None]:
        """Add the ids of the job and of its HTTP request to every log line of the block."""
        return log_context(job_id=job.id, request_id=job.request.origin.get("request_id", ""))

    @contextmanager
    def run(self, job: Job) -> Iterator[None]:
        """Trace the job below the span of its request, and time what it does."""
        if job.stage is None:  # its first run
            waited_s = max(0.0, time.time() - job.submitted_at)
            self.recorder.observe(QUEUE_WAIT_SECONDS, waited_s, job.queue)
        with (
            watch_timings(self._note),
            self.tracing.span("job", kind="consumer", parent=job.request.origin, job__id=job.id),
        ):
            yield

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Trace a stage, and count its time or its failure."""
        begun = time.perf_counter()
        try:
            with self.tracing.span(f"stage {name}", stage=name):
                yield
        except Cancelled:
            raise
        except Exception:
            self.recorder.count(STAGE_FAILURES, name)
            raise
        self.recorder.observe(STAGE_SECONDS, time.perf_counter() - begun, name)

    def record_storage_error(self) -> None:
        """Count a job that has to wait for storage."""
        self.recorder.count(STORAGE_ERRORS)

    def record_completed(self, job: Job, outcome: Outcome, *, recorded: bool) -> None:
        """Count and log the end of a job; `recorded` is whether this worker ended it."""
        if not recorded:
            return
        how = "failed" if outcome.error else "done"
        taken_s = max(0.0, time.time() - job.submitted_at)
        self.recorder.count(JOBS_ENDED, how)
        self.recorder.observe(JOB_SECONDS, taken_s, how)
        _log.info("%s, %.2f s after its submission", how, taken_s)

    def _note(self, part: str, name: str, taken_s: float) -> None:
        figure = PROCESSOR_SECONDS if part == "processor" else ENCODER_LOAD_SECONDS
        self.recorder.observe(figure, taken_s, name)
