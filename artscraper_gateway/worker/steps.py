"""What a worker does for one job: one durable step a stage.

A step's result is recorded when it ends, unless the worker has lost the job meanwhile. Another
worker that takes the job over goes on behind the last recorded step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dbos import DBOS

from artscraper_gateway.db.retry import patiently
from artscraper_gateway.jobs.leases import WorkerGivenUp
from artscraper_gateway.jobs.models import Job
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import Storage
from artscraper_runner import (
    AnalysisOptions,
    Cancelled,
    Controls,
    PictureRun,
    Progress,
    SigningSettings,
    StageFailed,
)

ORIGINAL = "original"
_LOOK_AGAIN_S = 0.2  # how old the answer to "is this job still wanted" may be
_TELL_EVERY_S = 0.5  # of progress: at most two events a second
Record = dict[str, Any]


@dataclass
class JobSteps:
    """The steps of one execution of a job by `worker`. `during(stage)` surrounds each."""

    job: Job
    config: GatewayConfig
    store: JobStore
    storage: Storage
    worker: str
    during: Callable[[str], AbstractContextManager[None]]
    _wanted: bool = field(default=True, init=False)
    _asked_at: float = field(default=0.0, init=False)
    _told_at: float = field(default=0.0, init=False)
    _behind: int = field(default=-1, init=False)  # steps that lie behind the one that runs
    _total: int = field(default=1, init=False)
    _taken_over: set[str] = field(default_factory=set, init=False)

    def take_all(self) -> None:
        """Runs analysis and protection as the job asks for them, one durable step after another."""
        request, run = self.job.request, self._picture_run()
        self._total = 2 + request.include_hash_analysis + len(request.stages)
        layers = [self._take(ORIGINAL, partial(_keep_original, run))]
        analysis = None
        if request.include_hash_analysis:
            options = self._analysis_options()
            analysis = self._take("analysis", partial(run.analyse, options))
        for index, name in enumerate(request.stages, start=1):
            layers.append(self._take(name, partial(run.protect, name, index)))
        self._take("summary", partial(_write_summary, run, layers, analysis))

    def file_away(self) -> None:
        """The whole of a job that asks for neither; too little to be worth durable steps."""
        if self.job.stage_attempts > self.config.max_stage_attempts:
            raise _deadly(ORIGINAL, self.job.stage_attempts)
        run = self._picture_run()
        _write_summary(run, [_keep_original(run)], None)

    def _analysis_options(self) -> AnalysisOptions:
        config, request = self.config, self.job.request
        key = config.tineye_api_key
        return AnalysisOptions(
            processors=request.processors,
            enable_tineye=request.enable_tineye,
            tineye_api_key=key.get_secret_value() if key else None,
            tineye_url=config.tineye_url,
        )

    def _picture_run(self) -> PictureRun:
        config, storage, request = self.config, self.storage, self.job.request
        folder = storage.fetch_input(self.job.id)
        targets = {name: folder / file for name, file in request.target_files.items()}
        return PictureRun(
            source=folder / self.job.source,
            shown_source=storage.shown_input(self.job.id, self.job.source),
            workspace=storage.workspace(self.job.id, self.worker),
            limits=config.picture_limits,
            options=request.protection_options(config, targets=targets),
            controls=Controls(self._on_progress, self._should_stop),
            signing=SigningSettings(
                config.base_dir / "c2pa", config.c2pa_certificate, config.c2pa_key
            ),
            insists=request.stages_explicit,
        )

    def _take(self, stage: str, work: Callable[[], Record]) -> Record:
        """Runs `work` as the durable step `stage`, or returns what it returned before a crash."""
        self._behind += 1
        taken: Record = DBOS.run_step({"name": stage}, self._kept, stage, work)
        worker = taken.get("by")
        if worker is None:
            raise StageFailed(stage, "an earlier release ran it; submit the picture again")
        if worker != self.worker and worker not in self._taken_over:
            self.storage.take_over(self.job.id, self.worker, before=worker)
            self._taken_over.add(worker)
        record: Record = taken["record"]
        return record

    def _kept(self, stage: str, work: Callable[[], Record]) -> Record:
        try:
            record = self._guarded(stage, work)
            self.storage.keep_stage(self.job.id, self.worker)
        except Exception:
            # A worker that was given up is stopped like one whose job was cancelled. That must not
            # be recorded: the job goes on elsewhere.
            if not patiently(self.store.is_registered, self.worker):
                raise WorkerGivenUp(self.worker) from None
            raise
        return {"by": self.worker, "record": record}

    def _guarded(self, stage: str, work: Callable[[], Record]) -> Record:
        """Blames a stage that its worker keeps dying in, so that it cannot go on for ever."""
        begin, behind = self.store.begin_stage, max(0, self._behind) / self._total
        attempts = patiently(begin, self.job.id, stage, worker=self.worker, progress=behind)
        if attempts is None:
            raise Cancelled("the job was cancelled or deleted")
        if attempts > self.config.max_stage_attempts:
            raise _deadly(stage, attempts)
        with self.during(stage):
            return work()

    def _on_progress(self, inner: Progress) -> None:
        """Passes on how far the stage is; not more often than anybody wants to know."""
        now = time.monotonic()
        if inner.total and now - self._told_at >= _TELL_EVERY_S:
            self._told_at = now
            done = (self._behind + min(1.0, inner.done / inner.total)) / self._total
            report = self.store.report_progress
            patiently(report, self.job.id, done, worker=self.worker)

    def _should_stop(self) -> bool:
        now = time.monotonic()
        if now - self._asked_at > _LOOK_AGAIN_S:
            self._asked_at = now
            self._wanted = patiently(self.store.is_wanted, self.job.id, worker=self.worker)
        return not self._wanted


def _deadly(stage: str, attempts: int) -> StageFailed:
    return StageFailed(stage, f"its worker process died {attempts - 1} times in it")


def _keep_original(run: PictureRun) -> Record:
    run.workspace.create()
    return run.keep_original()


def _write_summary(run: PictureRun, layers: list[Record], analysis: Record | None) -> Record:
    """Keeps what is large out of the step's recorded result: it stands in the files."""
    run.write_summary(layers, analysis)
    return {}
