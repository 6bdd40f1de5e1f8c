"""What a worker tells of the jobs that it runs: lines in the log, figures and spans."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from artscraper_gateway.jobs.models import Job, Outcome
from artscraper_gateway.observability.logging import about
from artscraper_gateway.observability.metrics import (
    ENCODER_LOAD_SECONDS,
    JOB_SECONDS,
    JOBS_ENDED,
    PROCESSOR_SECONDS,
    STAGE_FAILURES,
    STAGE_SECONDS,
    Recorder,
)
from artscraper_gateway.observability.tracing import Tracing
from artscraper_runner import Cancelled, watch_timings

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobObserver:
    """Watches the jobs of one worker process."""

    recorder: Recorder
    tracing: Tracing

    def named(self, job: Job) -> AbstractContextManager[None]:
        """Names the job, and the request that it came with, in each line of the block."""
        return about(job_id=job.id, request_id=job.request.origin.get("request_id", ""))

    @contextmanager
    def run(self, job: Job) -> Iterator[None]:
        """Makes a span of the job, below that of its request, and counts what takes time in it."""
        with (
            watch_timings(self._note),
            self.tracing.span("job", kind="consumer", parent=job.request.origin, job__id=job.id),
        ):
            yield

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Makes a span of a stage and counts how long it ran, or that it broke."""
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

    def tell_ended(self, jobs: Sequence[Job], outcomes: Sequence[Outcome], ended: set[str]) -> None:
        """Counts and logs those of `jobs` that have `ended` here."""
        errors = {outcome.job_id: outcome.error for outcome in outcomes}
        now = time.time()
        for job in jobs:
            if job.id not in ended:
                continue
            how = "failed" if errors[job.id] else "done"
            taken_s = max(0.0, now - job.submitted_at)
            self.recorder.count(JOBS_ENDED, how)
            self.recorder.observe(JOB_SECONDS, taken_s, how)
            with self.named(job):
                _log.info("%s, %.2f s after its submission", how, taken_s)

    def _note(self, part: str, name: str, taken_s: float) -> None:
        figure = PROCESSOR_SECONDS if part == "processor" else ENCODER_LOAD_SECONDS
        self.recorder.observe(figure, taken_s, name)
