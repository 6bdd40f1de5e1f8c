"""The durable workflow of a job, on the worker's side: one step a stage.

A step's result is recorded when it ends. A worker that dies is started again, takes its jobs up
and goes on behind the last recorded step; the step it died in runs again from its beginning, and
writes the same files under the same names.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from dbos import DBOS, PortableWorkflowError

from artscraper_gateway.choices import Choices
from artscraper_gateway.config import GatewayConfig
from artscraper_gateway.folders import JobFolders
from artscraper_gateway.job_queue import WORKFLOW, is_heavy
from artscraper_gateway.store import Job, JobStore
from artscraper_runner import (
    AnalysisOptions,
    Cancelled,
    Controls,
    PictureRun,
    RunnerError,
    SigningSettings,
    StageFailed,
    Workspace,
)

_log = logging.getLogger(__name__)
_LOOK_AGAIN_S = 0.2  # how old the answer to "is this job still wanted" may be
Record = dict[str, Any]
T = TypeVar("T")


@dataclass
class JobRunner:
    """Runs jobs in this worker process, whose slot is `worker`."""

    config: GatewayConfig
    store: JobStore
    worker: str

    def register(self) -> None:
        """Makes the workflow known to DBOS; must come before its launch."""

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
        def run_job(job_id: str) -> None:
            self.run(job_id)

    def run(self, job_id: str) -> None:
        """The workflow. Which steps it takes depends on the job's request alone."""
        job = self.store.find(job_id)
        if job is None or job.is_finished:
            return
        ended = False
        try:
            steps = _Steps(self, job)
            if is_heavy(job.request):
                steps.take_all()
            else:
                steps.file_away()
            ended = self.store.finish(job_id)
        except Cancelled:
            _log.info("job %s was cancelled", job_id)
        except Exception as error:
            ended = self._fail(job, error)
        finally:
            if not ended:
                self.store.let_go(job_id)

    def _fail(self, job: Job, error: Exception) -> bool:
        """Ends the job as error. The caller sees readable reasons only, the log the rest."""
        _log.warning("job %s failed: %s", job.id, error, exc_info=error)
        known = isinstance(error, RunnerError | PortableWorkflowError)
        reason = str(error) if known else "internal error; the gateway's log has the reason"
        return self.store.finish(job.id, error=reason)


@dataclass
class _Steps:
    """The steps of one execution of a job."""

    runner: JobRunner
    job: Job
    _wanted: bool = field(default=True, init=False)
    _asked_at: float = field(default=0.0, init=False)

    def take_all(self) -> None:
        """Runs analysis and protection as the job asks for them, one durable step after another."""
        request, run = self.job.request, self._picture_run()
        layers = [self._take("original", partial(_keep_original, run))]
        analysis = None
        if request["include_hash_analysis"]:
            options = self._analysis_options()
            analysis = self._take("analysis", partial(run.analyse, options))
        for index, name in enumerate(request["stages"], start=1):
            layers.append(self._take(name, partial(run.protect, name, index)))
        self._take("summary", partial(_write_summary, run, layers, analysis))

    def file_away(self) -> None:
        """The whole of a job that asks for neither; too little to be worth a durable step."""
        run = self._picture_run()
        self._guarded("original", lambda: _write_summary(run, [_keep_original(run)], None))

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
        folders = JobFolders.of(self.job.id, config)
        targets = {
            name: folders.input / file
            for name, file in self.job.request.get("target_files", {}).items()
        }
        return PictureRun(
            source=folders.input / self.job.source,
            workspace=Workspace(output=folders.output, work=folders.work),
            limits=config.picture_limits,
            options=Choices(config).protection(self.job.request, targets=targets),
            controls=Controls(should_stop=self._should_stop),
            signing=SigningSettings(
                config.base_dir / "c2pa", config.c2pa_certificate, config.c2pa_key
            ),
            insists=self.job.request.get("insists", False),
        )

    def _take(self, stage: str, work: Callable[[], T]) -> T:
        """Runs `work` as the durable step `stage`, or returns what it returned before a crash."""
        return DBOS.run_step({"name": stage}, self._guarded, stage, work)

    def _guarded(self, stage: str, work: Callable[[], T]) -> T:
        """Blames a stage that its worker keeps dying in, so that it cannot go on for ever."""
        runner = self.runner
        attempts = runner.store.begin_stage(self.job.id, stage, worker=runner.worker)
        if attempts is None:
            raise Cancelled("the job was deleted")
        if attempts > runner.config.max_stage_attempts:
            raise StageFailed(stage, f"its worker process died {attempts - 1} times in it")
        return work()

    def _should_stop(self) -> bool:
        now = time.monotonic()
        if now - self._asked_at > _LOOK_AGAIN_S:
            self._asked_at = now
            self._wanted = self.runner.store.is_wanted(self.job.id)
        return not self._wanted


def _keep_original(run: PictureRun) -> Record:
    run.workspace.create()
    return run.keep_original()


def _write_summary(run: PictureRun, layers: list[Record], analysis: Record | None) -> Record:
    """Keeps what is large out of the step's recorded result: it stands in the files."""
    run.write_summary(layers, analysis)
    return {}
