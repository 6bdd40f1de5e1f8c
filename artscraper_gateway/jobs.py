"""The durable workflow of a job, on the worker's side: one step a stage.

A step's result is recorded when it ends, unless the worker has lost the job meanwhile. When a
worker dies, another one, or the next one in its slot, takes its jobs up and goes on behind the
last recorded step; the step it died in runs again from its beginning. Where files stand meanwhile
is told in `storage.py`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dbos import DBOS, PortableWorkflowError

from artscraper_gateway.choices import Choices
from artscraper_gateway.config import GatewayConfig
from artscraper_gateway.folders import JobFolders
from artscraper_gateway.heartbeats import WorkerGivenUp
from artscraper_gateway.job_observer import JobObserver
from artscraper_gateway.job_queue import LIGHT, WORKFLOW
from artscraper_gateway.outages import patiently
from artscraper_gateway.storage import Storage
from artscraper_gateway.store import Job, JobStore, Outcome
from artscraper_runner import (
    AnalysisOptions,
    Cancelled,
    Controls,
    PictureRun,
    Progress,
    RunnerError,
    SigningSettings,
    StageFailed,
)

_log = logging.getLogger(__name__)
_LOOK_AGAIN_S = 0.2  # how old the answer to "is this job still wanted" may be
_TELL_EVERY_S = 0.5  # of progress: at most two events a second
_ORIGINAL = "original"
Record = dict[str, Any]


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
            return
        ended: set[str] = set()
        try:
            outcome = self.outcome_of(job, lambda: _Steps(self, job).take_all())
            if outcome is not None:
                ended = patiently(self.store.finish_all, [outcome], worker=self.worker)
                self.observer.tell_ended([job], [outcome], ended)
        finally:
            self.part_from(job_id, ended=job_id in ended)

    def take_light(self, at_most: int) -> list[Job]:
        """Takes jobs of the light queue: those that ask for neither analysis nor protection."""
        return patiently(self.store.take, LIGHT, _ORIGINAL, worker=self.worker, at_most=at_most)

    def file_away(self, job: Job) -> Outcome | None:
        """Runs a light job that was taken; returns how it ended, None = it is not wanted."""
        return self.outcome_of(job, lambda: _Steps(self, job).file_away())

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
                return Outcome(job.id, _reason(job, error), None)

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
        if not patiently(self.store.exists, job_id):
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
        size = JobFolders.of(job.id, self.config).disk_bytes()
        self.storage.publish(job.id, self.worker)
        return size


def _reason(job: Job, error: Exception) -> str:
    """The caller sees readable reasons only, the log the rest."""
    _log.warning("job %s failed: %s", job.id, error, exc_info=error)
    if isinstance(error, RunnerError | PortableWorkflowError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"the gateway could not store the results: {error.strerror}"
    return "internal error; the gateway's log has the reason"


@dataclass
class _Steps:
    """The steps of one execution of a job."""

    runner: JobRunner
    job: Job
    _wanted: bool = field(default=True, init=False)
    _asked_at: float = field(default=0.0, init=False)
    _told_at: float = field(default=0.0, init=False)
    _behind: int = field(default=-1, init=False)  # steps that lie behind the one that runs
    _total: int = field(default=1, init=False)
    _taken_over: set[str] = field(default_factory=set, init=False)

    def take_all(self) -> None:
        """Runs analysis and protection as the job asks for them, one durable step after another."""
        request, run = self.job.request, self._picture_run()
        self._total = 2 + request["include_hash_analysis"] + len(request["stages"])
        layers = [self._take(_ORIGINAL, partial(_keep_original, run))]
        analysis = None
        if request["include_hash_analysis"]:
            options = self._analysis_options()
            analysis = self._take("analysis", partial(run.analyse, options))
        for index, name in enumerate(request["stages"], start=1):
            layers.append(self._take(name, partial(run.protect, name, index)))
        self._take("summary", partial(_write_summary, run, layers, analysis))

    def file_away(self) -> None:
        """The whole of a job that asks for neither; too little to be worth durable steps."""
        if self.job.stage_attempts > self.runner.config.max_stage_attempts:
            raise _deadly(_ORIGINAL, self.job.stage_attempts)
        run = self._picture_run()
        _write_summary(run, [_keep_original(run)], None)

    def _analysis_options(self) -> AnalysisOptions:
        config, processors = self.runner.config, self.job.request["processors"]
        key = config.tineye_api_key
        return AnalysisOptions(
            processors=None if processors is None else tuple(processors),
            enable_tineye=self.job.request["enable_tineye"],
            tineye_api_key=key.get_secret_value() if key else None,
            tineye_url=config.tineye_url,
        )

    def _picture_run(self) -> PictureRun:
        config = self.runner.config
        storage = self.runner.storage
        folder = storage.fetch_input(self.job.id)
        targets = {
            name: folder / file for name, file in self.job.request.get("target_files", {}).items()
        }
        return PictureRun(
            source=folder / self.job.source,
            shown_source=storage.shown_input(self.job.id, self.job.source),
            workspace=storage.workspace(self.job.id, self.runner.worker),
            limits=config.picture_limits,
            options=Choices(config).protection(self.job.request, targets=targets),
            controls=Controls(self._on_progress, self._should_stop),
            signing=SigningSettings(
                config.base_dir / "c2pa", config.c2pa_certificate, config.c2pa_key
            ),
            insists=self.job.request.get("insists", False),
        )

    def _take(self, stage: str, work: Callable[[], Record]) -> Record:
        """Runs `work` as the durable step `stage`, or returns what it returned before a crash."""
        self._behind += 1
        taken: Record = DBOS.run_step({"name": stage}, self._kept, stage, work)
        worker = taken.get("by")
        if worker is None:
            raise StageFailed(stage, "an earlier release ran it; submit the picture again")
        if worker != self.runner.worker and worker not in self._taken_over:
            self.runner.storage.take_over(self.job.id, self.runner.worker, before=worker)
            self._taken_over.add(worker)
        record: Record = taken["record"]
        return record

    def _kept(self, stage: str, work: Callable[[], Record]) -> Record:
        try:
            record = self._guarded(stage, work)
            self.runner.storage.keep_stage(self.job.id, self.runner.worker)
        except Exception:
            # A worker that was given up is stopped like one whose job was cancelled. That must not
            # be recorded: the job goes on elsewhere.
            if not patiently(self.runner.store.is_registered, self.runner.worker):
                raise WorkerGivenUp(self.runner.worker) from None
            raise
        return {"by": self.runner.worker, "record": record}

    def _guarded(self, stage: str, work: Callable[[], Record]) -> Record:
        """Blames a stage that its worker keeps dying in, so that it cannot go on for ever."""
        runner = self.runner
        begin, behind = runner.store.begin_stage, max(0, self._behind) / self._total
        attempts = patiently(begin, self.job.id, stage, worker=runner.worker, progress=behind)
        if attempts is None:
            raise Cancelled("the job was cancelled or deleted")
        if attempts > runner.config.max_stage_attempts:
            raise _deadly(stage, attempts)
        with runner.observer.stage(stage):
            return work()

    def _on_progress(self, inner: Progress) -> None:
        """Passes on how far the stage is; not more often than anybody wants to know."""
        now = time.monotonic()
        if inner.total and now - self._told_at >= _TELL_EVERY_S:
            self._told_at = now
            done = (self._behind + min(1.0, inner.done / inner.total)) / self._total
            report = self.runner.store.report_progress
            patiently(report, self.job.id, done, worker=self.runner.worker)

    def _should_stop(self) -> bool:
        now = time.monotonic()
        if now - self._asked_at > _LOOK_AGAIN_S:
            self._asked_at = now
            runner = self.runner
            wanted = patiently(runner.store.is_wanted, self.job.id, worker=runner.worker)
            self._wanted = wanted
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
