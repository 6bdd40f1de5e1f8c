"""A worker on threads of the test's own process."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import ClassVar

import sqlalchemy as sa
from dbos import DBOS

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.jobs.deletion import Deletion
from artscraper_gateway.jobs.leases import Heartbeats, Leases, worker_name
from artscraper_gateway.jobs.queue import JobQueue, launch, requeue_abandoned
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.jobs.retention import Retention
from artscraper_gateway.observability.metrics import Metrics
from artscraper_gateway.observability.tracing import Tracing
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.objects import open_storage
from artscraper_gateway.worker.process import BEAT_EVERY_S
from artscraper_gateway.worker.runner import JobObserver, JobRunner


class InlineWorker:
    """A worker that runs the jobs of one gateway.

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
        self._heart = Heartbeats(self._store.engine, worker_name(0), 600, origin="tests")
        self._heart.register()
        observer = JobObserver(Metrics(config, "worker"), Tracing())
        storage = open_storage(config)
        runner = JobRunner(config, self._store, storage, self._heart.id, observer)
        runner.register()
        self._queue = JobQueue(self._store)
        deletion = Deletion(config, self._store, self._queue, storage)
        schedule = Retention(config, deletion, self._queue, self._store.engine).register()
        launch(
            self._store.engine,
            worker=self._heart.id,
            kinds=config.queues,
            poll_interval=config.poll_interval,
        )
        schedule()
        self._queue.enqueue_missing()
        self._beats = threading.Thread(target=self._beat, daemon=True)
        self._beats.start()

    def _beat(self) -> None:
        while not self._leave.wait(BEAT_EVERY_S):
            with suppress(sa.exc.SQLAlchemyError):
                self._heart.beat()
                requeue_abandoned(
                    alive_ids=self._heart.alive_ids, claim_due=self._store.claim_due_retries
                )

    def _close(self) -> None:
        self._leave.set()
        self._beats.join()
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=60)
        Leases(self._store.engine).deregister(self._heart.id)
        self._queue.close()
        self._store.engine.dispose()
