"""A worker process: takes jobs from the queue and runs them until it is stopped.

SIGTERM stops it, or the end of its standard input if a supervisor started it: a supervisor that is
killed cannot send a signal, but the kernel closes its end of the pipe.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

import sqlalchemy as sa
from dbos import DBOS

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.db.retry import log_outage
from artscraper_gateway.jobs.deletion import LEFTOVERS_EVERY_S, Deletion, remove_leftovers
from artscraper_gateway.jobs.leases import (
    Heartbeats,
    LeaseLost,
    Leases,
    slot_origin,
    worker_name,
)
from artscraper_gateway.jobs.queue import JobQueue, launch, requeue_abandoned
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.jobs.retention import Retention
from artscraper_gateway.observability.metrics import Metrics
from artscraper_gateway.observability.prometheus import MetricsCollector, start_metrics_server
from artscraper_gateway.observability.tracing import Tracing
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import Storage
from artscraper_gateway.storage.objects import open_storage
from artscraper_gateway.worker.runner import JobObserver, JobRunner
from artscraper_gateway.worker.supervisor import lock_slot, slots_folder

_log = logging.getLogger(__name__)
BEAT_EVERY_S = 1.0
_SWEEP_EVERY_S = 2.0
_NICENESS = 10  # the web process answers at once while workers use every core
_START_TIMEOUT_S = 300.0
_POOL_TIMEOUTS_LIMIT = 2  # in a row, each of 30 s: a connection of the pool was leaked


class SlotTaken(Exception):
    """Another worker runs in this slot."""

    def __init__(self, slot: int) -> None:
        super().__init__(f"slot {slot} is taken by another worker; choose another number")


def run_worker(config: GatewayConfig, *, slot: int, supervised: bool) -> None:
    """Work the queues as the worker of `slot`; ends the process when stopped and drained.

    No two processes of a machine run in one slot. A supervisor has locked the slot for its worker;
    one that is not supervised locks it here.

    Raises:
        SlotTaken: another process has the slot.
        MetricsPortUnusable: the setting `metrics_port` cannot be bound.
        HostNameTaken: another machine of this host name has the slot.
    """
    lock = None if supervised else lock_slot(config, slot)
    if lock is None and not supervised:
        raise SlotTaken(slot)
    os.nice(_NICENESS)
    stop = _stop_event(supervised)
    if supervised:
        threading.Thread(target=_show_life_while_starting, daemon=True).start()
    storage = open_storage(config)
    store = JobStore(open_engine(config))
    metrics = Metrics(config, "worker")
    if not supervised:
        start_metrics_server(MetricsCollector(config, metrics))
    observer = JobObserver(metrics, Tracing())
    limit = round(config.worker_timeout / BEAT_EVERY_S)
    heart = Heartbeats(store.engine, worker_name(slot), limit, slot_origin(slots_folder(config)))
    heart.register()
    worker = _Worker(config, store, storage, heart, observer, stop, supervised)
    worker.run()


@dataclass
class _Worker:
    config: GatewayConfig
    store: JobStore
    storage: Storage
    heart: Heartbeats
    observer: JobObserver
    stop: threading.Event
    supervised: bool
    exit_status: int = field(default=0, init=False)

    def run(self) -> None:
        self.observer.tracing.start()
        threading.Thread(target=self._beat, daemon=True).start()
        remove_leftovers(self.storage, self.store)
        queue = JobQueue(self.store)
        runner = JobRunner(
            self.config,
            self.store,
            self.storage,
            self.heart.id,
            self.observer,
            on_out_of_memory=self._restart,
        )
        runner.register()
        deletion = Deletion(self.config, self.store, queue, self.storage)
        retention = Retention(self.config, deletion, queue, self.store.engine)
        put_on_schedule = retention.register()
        launch(
            self.store.engine,
            worker=self.heart.id,
            kinds=self.config.queues,
            poll_interval=self.config.poll_interval,
        )
        put_on_schedule()
        queue.enqueue_missing()
        _log.info("worker %s is ready as %s", self.heart.name, self.heart.id)
        tidied_at = time.monotonic()
        while not self.stop.is_set():
            self._sweep()
            if time.monotonic() - tidied_at > LEFTOVERS_EVERY_S:
                remove_leftovers(self.storage, self.store)
                tidied_at = time.monotonic()
            self.stop.wait(_SWEEP_EVERY_S)
        self._drain()

    def _restart(self) -> None:
        """Stop after a job ran out of memory: the rest may not suffice for the next one."""
        _log.error("out of memory; worker %s restarts", self.heart.name)
        self.exit_status = 1
        self.stop.set()

    def _beat(self) -> None:
        """Beat to the end of the process, also while it drains, and expire silent workers."""
        pool_timeouts = 0
        while True:
            if self.supervised:
                _show_life()
            try:
                self.heart.beat()
                self.heart.expire_stale_workers()
                pool_timeouts = 0
            except sa.exc.SQLAlchemyError as error:
                log_outage(_log, "the database does not respond", error)
                pool_timeouts += isinstance(error, sa.exc.TimeoutError)
                if pool_timeouts >= _POOL_TIMEOUTS_LIMIT:
                    _exit_at_once("no database connection became free; restarting")
            except LeaseLost as error:
                if self.heart.has_left:  # let the last of the drain finish
                    return
                _exit_at_once(str(error))  # its threads still work on jobs it has lost
            time.sleep(BEAT_EVERY_S)

    def _sweep(self) -> None:
        """Requeue jobs without a live worker, and jobs that waited for storage long enough."""
        try:
            requeued = requeue_abandoned(
                alive_ids=self.heart.alive_ids, claim_due=self.store.claim_due_retries
            )
        except sa.exc.SQLAlchemyError as error:
            log_outage(_log, "abandoned jobs cannot be requeued", error)
            return
        if requeued:
            _log.warning("requeued: %s", ", ".join(requeued))

    def _drain(self) -> None:
        """Finish running jobs within `drain_timeout`; the rest is for other workers, or later."""
        _log.info("worker %s stops", self.heart.name)
        # At the deadline the process ends at once, while its jobs still run: if DBOS were taken
        # down first, a stage that ends just then would look like a failure.
        deadline = threading.Timer(self.config.drain_timeout, self._leave)
        deadline.daemon = True
        deadline.start()
        DBOS.destroy(workflow_completion_timeout_sec=int(self.config.drain_timeout) + 60)
        deadline.cancel()
        self._leave()

    def _leave(self) -> None:
        try:
            self.heart.has_left = True
            Leases(self.store.engine).deregister(self.heart.id)
        except sa.exc.SQLAlchemyError as error:  # the others will expire this worker
            _log.warning("worker %s could not deregister: %s", self.heart.name, error.__cause__)
        self.observer.tracing.stop()
        _log.info("worker %s stopped", self.heart.name)
        logging.shutdown()
        os._exit(self.exit_status)


def _show_life() -> None:
    """Send a heartbeat to the supervisor, through the pipe at standard output."""
    with suppress(OSError):  # the supervisor has ended; so has standard input
        os.write(sys.stdout.fileno(), b".")


def _show_life_while_starting() -> None:
    """Show life while libraries and models are loaded, for as long as that may take."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        _show_life()
        time.sleep(BEAT_EVERY_S)


def _exit_at_once(reason: str) -> None:
    _log.error("%s", reason)
    logging.shutdown()
    os._exit(1)


def _stop_event(supervised: bool) -> threading.Event:
    """Return an event that SIGTERM, SIGINT or the supervisor's end sets.

    A second signal ends the process at once, unless it is supervised: a service manager signals
    all processes, and so does the supervisor.
    """
    stop = threading.Event()

    def on_signal(number: int, _frame: object) -> None:
        if stop.is_set() and not supervised:
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    if supervised:
        threading.Thread(target=_wait_for_end_of_input, args=(stop,), daemon=True).start()
    return stop


def _wait_for_end_of_input(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    stop.set()
