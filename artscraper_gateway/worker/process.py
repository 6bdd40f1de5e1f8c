"""A worker process: takes jobs from the queue and runs them until it is told to stop.

It is told by SIGTERM, or by the end of its standard input when a supervisor started it: a
supervisor that is killed cannot send a signal, but the kernel closes its end of the pipe.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import dataclass

import sqlalchemy as sa
from dbos import DBOS
from dbos import DBOSPortableJSONSerializer as JSONSerializer

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.jobs.deletion import Deletion
from artscraper_gateway.jobs.leases import Heartbeats, WorkerGivenUp, machine_name, worker_name
from artscraper_gateway.jobs.queue import APPLICATION, QUEUES, WORKFLOW_VERSION, JobQueue
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.jobs.retention import Retention
from artscraper_gateway.observability.metrics import Recorder
from artscraper_gateway.observability.tracing import Tracing
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import Storage
from artscraper_gateway.storage.objects import open_storage
from artscraper_gateway.storage.paths import RUNNING
from artscraper_gateway.worker.light import LightJobs
from artscraper_gateway.worker.runner import JobRunner
from artscraper_gateway.worker.supervisor import lock_slot
from artscraper_gateway.worker.telemetry import JobObserver
from artscraper_runner import preload

_log = logging.getLogger(__name__)
BEAT_EVERY_S = 1.0
_SWEEP_EVERY_S = 2.0
_NICENESS = 10  # the web process answers at once while workers use every core


class SlotTaken(Exception):
    """Another worker runs with this slot."""

    def __init__(self, slot: int) -> None:
        super().__init__(f"slot {slot} is taken by another worker; choose another number")


def run_worker(config: GatewayConfig, *, slot: int, supervised: bool) -> None:
    """Works the queues as the worker of `slot`; returns when told to stop and drained.

    No two processes of a machine run with one slot at a time. A supervisor has taken the slot's
    lock for its worker; one that is not supervised takes it here.

    Raises:
        SlotTaken: another process has the slot.
    """
    lock = None if supervised else lock_slot(config, slot)
    if lock is None and not supervised:
        raise SlotTaken(slot)
    os.nice(_NICENESS)
    stop = _stop_event(supervised)
    preload()
    storage = open_storage(config)
    store = JobStore(open_engine(config))
    observer = JobObserver(Recorder("worker", machine_name()), Tracing())
    observer.tracing.start()
    heart = _begin_to_beat(config, store, slot, observer.recorder)
    _remove_leftovers(config, store)
    runner = JobRunner(config, store, storage, heart.id, observer)
    runner.register()
    put_on_schedule = _retention(config, store, storage).register()
    _launch(config, store, heart.id)
    put_on_schedule()
    _log.info("worker %s is ready as %s", heart.name, heart.id)
    light = LightJobs(runner)
    if "cpu" in config.queues:
        light.start()
    while not stop.is_set():
        _sweep(heart)
        stop.wait(_SWEEP_EVERY_S)
    _drain(config, light, _Leaving(store, heart, observer))


def _retention(config: GatewayConfig, store: JobStore, storage: Storage) -> Retention:
    queue = JobQueue(store)
    return Retention(config, Deletion(config, store, queue, storage), queue, store.engine)


def _remove_leftovers(config: GatewayConfig, store: JobStore) -> None:
    """Removes what workers that died here wrote for jobs that have ended since.

    Not for those that are cancelled or deleted in this moment: their worker still writes there.
    """
    for folder in (config.output_folder / RUNNING).glob("*"):
        job = store.find(folder.name)
        is_over = job is None or job.is_finished
        if is_over and store.holder(folder.name) is None:
            shutil.rmtree(folder, ignore_errors=True)


def _begin_to_beat(
    config: GatewayConfig, store: JobStore, slot: int, recorder: Recorder
) -> Heartbeats:
    patience = round(config.worker_timeout / BEAT_EVERY_S)
    heart = Heartbeats(store.engine, worker_name(slot), patience)
    heart.register()
    threading.Thread(target=_show_life, args=(heart, recorder), daemon=True).start()
    return heart


def _show_life(heart: Heartbeats, recorder: Recorder) -> None:
    """Beats to the end of the process, also while it drains, looks who else does, and counts."""
    while True:
        try:
            heart.beat()
            heart.give_up_silent()
            recorder.flush(heart.engine)
        except sa.exc.SQLAlchemyError as error:
            _log.warning("the database does not answer: %s", error.__cause__)
        except WorkerGivenUp as error:
            if heart.has_left:  # by itself: what it does last is not cut off
                return
            _log.error("%s", error)
            logging.shutdown()
            os._exit(1)  # at once: its threads still work on jobs that are no longer its own
        time.sleep(BEAT_EVERY_S)


def _sweep(heart: Heartbeats) -> None:
    try:
        _put_back_abandoned(heart)
    except sa.exc.SQLAlchemyError as error:
        _log.warning("nobody can be looked after for now: %s", error.__cause__)


def _put_back_abandoned(heart: Heartbeats) -> None:
    """Puts back what no living worker runs, however its worker came to its end.

    Asked in this order, so that a worker that comes meanwhile is not taken for a dead one.
    """
    running = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
    executors = {workflow.executor_id for workflow in running if workflow.executor_id}
    abandoned = sorted(executors - heart.alive())
    if abandoned:
        _log.warning("taking over the jobs of %s", ", ".join(abandoned))
        DBOS._recover_pending_workflows(abandoned)


def _stop_event(supervised: bool) -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if supervised:
        threading.Thread(target=_wait_for_end_of_input, args=(stop,), daemon=True).start()
    return stop


def _wait_for_end_of_input(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    stop.set()


def _launch(config: GatewayConfig, store: JobStore, worker: str) -> None:
    DBOS(
        config={
            "name": APPLICATION,
            "system_database_engine": store.engine,
            "application_version": WORKFLOW_VERSION,
            "executor_id": worker,
            "serializer": JSONSerializer(),
            "run_migrations": False,
            "log_level": "WARNING",
        }
    )
    DBOS.listen_queues([QUEUES[kind] for kind in config.queues])
    DBOS.launch()
    for queue in QUEUES.values():
        # One at a time: a crash is blamed on the job that caused it.
        DBOS.register_queue(queue, worker_concurrency=1, polling_interval_sec=config.poll_interval)


@dataclass(frozen=True)
class _Leaving:
    """What a worker does last, however far its jobs are; ends the process."""

    store: JobStore
    heart: Heartbeats
    observer: JobObserver

    def end(self) -> None:
        try:
            self.heart.has_left = True
            self.store.take_out(self.heart.id)
            self.observer.recorder.leave(self.store.engine)
        except sa.exc.SQLAlchemyError as error:  # then others will find out by its silence
            name = self.heart.name
            _log.warning("worker %s could not say that it leaves: %s", name, error.__cause__)
        self.observer.tracing.stop()
        _log.info("worker %s stopped", self.heart.name)
        logging.shutdown()
        os._exit(0)


def _drain(config: GatewayConfig, light: LightJobs, leaving: _Leaving) -> None:
    """Finishes what runs, as far as `drain_timeout` allows; the rest is for others, or later."""
    _log.info("worker %s stops", leaving.heart.name)
    # At the deadline the process ends at once, while its jobs still run: were DBOS taken down
    # first, a stage that ends in that moment could not be recorded, and would look like a failure.
    deadline = threading.Timer(config.drain_timeout, leaving.end)
    deadline.start()
    light.stop()
    DBOS.destroy(workflow_completion_timeout_sec=int(config.drain_timeout) + 60)
    deadline.cancel()
    leaving.end()
