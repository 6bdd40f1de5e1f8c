"""A worker on threads of the test's own process."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import ClassVar

import sqlalchemy as sa
from dbos import DBOS

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.jobs.leases import Heartbeats, machine_name, worker_name
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.observability.metrics import Recorder
from artscraper_gateway.observability.tracing import Tracing
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.objects import open_storage
from artscraper_gateway.worker.light import LightJobs
from artscraper_gateway.worker.process import BEAT_EVERY_S, _launch, _retention
from artscraper_gateway.worker.runner import JobRunner
from artscraper_gateway.worker.telemetry import JobObserver


class InlineWorker:
    """Runs the jobs of one gateway.

    DBOS is one per process: while a second worker runs, the first one pauses.
    """

    _running: ClassVar[list[InlineWorker]] = []

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._leave = threading.Event()

    def start(self) -> None:
        """Pause the worker that runs and take jobs."""
        if self._running:
            self._running[-1]._close()
        self._running.append(self)
        self._open()

    def stop(self) -> None:
        """Finish running jobs; the worker before this one goes on."""
        was_last = self._running[-1] is self
        self._running.remove(self)
        if was_last:
            self._close()
            if self._running:
                self._running[-1]._open()

    def _open(self) -> None:
        config = self._config
        self._leave.clear()
        self._store = JobStore(open_engine(config))
        self._heart = Heartbeats(self._store.engine, worker_name(0), patience=600)
        self._heart.register()
        self._recorder = Recorder("worker", machine_name())
        observer = JobObserver(self._recorder, Tracing())
        storage = open_storage(config)
        runner = JobRunner(config, self._store, storage, self._heart.id, observer)
        runner.register()
        schedule = _retention(config, self._store, storage).register()
        _launch(config, self._store, self._heart.id)
        schedule()
        self._light = LightJobs(runner)
        self._light.start()
        self._beats = threading.Thread(target=self._beat, daemon=True)
        self._beats.start()

    def _beat(self) -> None:
        while not self._leave.wait(BEAT_EVERY_S):
            with suppress(sa.exc.SQLAlchemyError):
                self._heart.beat()
                self._recorder.flush(self._store.engine)

    def _close(self) -> None:
        self._light.stop()
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=60)
        self._leave.set()
        self._beats.join()
        self._store.take_out(self._heart.id)
        self._store.engine.dispose()
