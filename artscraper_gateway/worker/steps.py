"""One execution of a job by one worker: its durable steps, one per stage.

The result of a step is recorded when it ends, unless the worker has lost the job meanwhile. When a
worker dies, another one, or the next one in its slot, continues after the last recorded step; the
step it died in runs again from its beginning.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from dbos import DBOS

from artscraper_gateway.db.retry import retry_on_outage
from artscraper_gateway.jobs.leases import LeaseLost, Leases
from artscraper_gateway.jobs.models import Job
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import Storage
from artscraper_gateway.worker.failures import StorageOutage, storage_outage
from artscraper_runner import (
    AnalysisOptions,
    Cancelled,
    Controls,
    Progress,
    SigningSettings,
    StageFailed,
    needs_network,
)

if TYPE_CHECKING:
    from artscraper_runner import PictureRun

ORIGINAL = "original"
_WANTED_FOR_S = 0.2  # age of the answer to "is this job still wanted"
_PROGRESS_EVERY_S = 0.5  # at most two events a second
Record = dict[str, Any]


@dataclass
class JobSteps:
    """The steps of one execution of `job` by `worker`. `during(stage)` surrounds each."""

    job: Job
    config: GatewayConfig
    store: JobStore
    storage: Storage
    worker: str
    during: Callable[[str], AbstractContextManager[None]]
    _is_wanted: bool = field(default=True, init=False)
    _checked_at: float = field(default=0.0, init=False)
    _reported_at: float = field(default=0.0, init=False)
    _completed: int = field(default=-1, init=False)  # steps before the one that runs
    _total: int = field(default=1, init=False)
    _attempts: int = field(default=1, init=False)  # of the step that runs, this one included
    _taken_over: set[str] = field(default_factory=set, init=False)

    def run_all(self) -> None:
        """Run the requested analysis and stages, one durable step after another."""
        request = self.job.request
        with self._picture_run() as run:
            if not request.needs_pipeline:
                self.run_step(ORIGINAL, partial(_store_original, run))
                return
            self._total = 2 + request.include_hash_analysis + len(request.stages)
            layers = [self.run_step(ORIGINAL, partial(_keep_original, run))]
            analysis = None
            if request.include_hash_analysis:
                analyse = partial(run.analyse, self._analysis_options())
                analysis = self.run_step("analysis", analyse)
            for index, name in enumerate(request.stages, start=1):
                layers.append(self.run_step(name, partial(self._protect, run, name, index)))
            self.run_step("summary", partial(_write_summary, run, layers, analysis))

    def _protect(self, run: PictureRun, name: str, index: int) -> Record:
        """Run a stage; apply the following one ahead if a worker's death by it costs no job.

        A stage that kills the worker while it is applied ahead costs an attempt of the stage
        before it, which then runs alone, so that the next death is in the stage's own step. Only
        stages that look through a network, which take most of the time, are applied ahead.
        """
        following = self.job.request.stages[index : index + 1]
        may_die = self._attempts == 1 < self.config.max_stage_attempts
        is_ahead = may_die and needs_network(following)
        return run.protect(name, index, following=following[0] if is_ahead else None)

    def run_step(self, name: str, work: Callable[[], Record]) -> Record:
        """Run `work` as the durable step `name`, or return what an earlier execution recorded.

        Raises:
            Cancelled: the job is not wanted any more.
            LeaseLost: the worker was expired.
            StorageOutage: the job has to wait.
            StageFailed: the step failed, now or before.
        """
        self._completed += 1
        step: Record = DBOS.run_step({"name": name}, self._execute, name, work)
        writer = step.get("by")
        if writer is None:
            raise StageFailed(name, "an earlier release ran it; submit the picture again")
        if writer != self.worker and writer not in self._taken_over:
            self.storage.take_over(self.job.id, self.worker, before=writer)
            self._taken_over.add(writer)
        record: Record = step["record"]
        return record

    def _execute(self, name: str, work: Callable[[], Record]) -> Record:
        try:
            self._begin(name)
            with self.during(name):
                record = work()
            self.storage.commit_stage(self.job.id, self.worker)
        except Exception as error:
            # Neither may be recorded as the step's result: the job continues elsewhere, or later.
            # For the run, an expired lease equals a cancellation.
            if not retry_on_outage(Leases(self.store.engine).is_registered, self.worker):
                raise LeaseLost(self.worker) from None
            reason = storage_outage(error)
            if reason is not None:
                raise StorageOutage(reason) from error
            raise
        return {"by": self.worker, "record": record}

    def _begin(self, name: str) -> None:
        """Mark the job running in the stage; fail it if its worker keeps dying there."""
        progress = max(0, self._completed) / self._total
        begin = self.store.begin_stage
        attempts = retry_on_outage(begin, self.job.id, name, worker=self.worker, progress=progress)
        if attempts is None:
            raise Cancelled("the job was cancelled or deleted")
        if attempts > self.config.max_stage_attempts:
            died = f"its worker process died {attempts - 1} times in it"
            raise StageFailed(name, f"{died}, as it does when memory runs out")
        self._attempts = attempts

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
        from artscraper_runner import preload

        preload()  # not earlier: a worker that waits for its first job needs no NumPy
        from artscraper_runner import PictureRun

        config, storage, request = self.config, self.storage, self.job.request
        folder = storage.fetch_input(self.job.id)
        targets = {name: folder / file for name, file in request.target_files.items()}
        return PictureRun(
            source=folder / self.job.source,
            shown_source=storage.public_input_path(self.job.id, self.job.source),
            workspace=storage.workspace(self.job.id, self.worker),
            limits=config.picture_limits,
            options=request.protection_options(config, targets=targets),
            controls=Controls(self._on_progress, self._should_stop),
            signing=SigningSettings(
                config.base_dir / "c2pa", config.c2pa_certificate, config.c2pa_key
            ),
            stages_explicit=request.stages_explicit,
            stages=tuple(request.stages),
        )

    def _on_progress(self, inner: Progress) -> None:
        """Report how far the stage is, twice a second at most."""
        now = time.monotonic()
        if inner.total and now - self._reported_at >= _PROGRESS_EVERY_S:
            self._reported_at = now
            done = (self._completed + min(1.0, inner.done / inner.total)) / self._total
            report = self.store.report_progress
            retry_on_outage(report, self.job.id, done, worker=self.worker)

    def _should_stop(self) -> bool:
        now = time.monotonic()
        if now - self._checked_at > _WANTED_FOR_S:
            self._checked_at = now
            is_wanted = self.store.is_wanted
            self._is_wanted = retry_on_outage(is_wanted, self.job.id, worker=self.worker)
        return not self._is_wanted


def _keep_original(run: PictureRun) -> Record:
    run.workspace.create()
    return run.keep_original()


def _store_original(run: PictureRun) -> Record:
    """Run a job without analysis and without stages."""
    return _write_summary(run, [_keep_original(run)], None)


def _write_summary(run: PictureRun, layers: list[Record], analysis: Record | None) -> Record:
    """Write the summary; its contents stay in the file and out of the recorded result."""
    run.write_summary(layers, analysis)
    return {}
