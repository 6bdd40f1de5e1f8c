"""A worker process: takes jobs from the queue and runs them until it is told to stop.

It is told by SIGTERM, or by the end of its standard input when a supervisor started it: a
supervisor that is killed cannot send a signal, but the kernel closes its end of the pipe.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

from dbos import DBOS
from dbos import DBOSPortableJSONSerializer as JSONSerializer

from artscraper_gateway.config import GatewayConfig
from artscraper_gateway.database import open_engine
from artscraper_gateway.job_queue import APPLICATION, HEAVY, LIGHT, WORKFLOW_VERSION
from artscraper_gateway.jobs import JobRunner
from artscraper_gateway.store import JobStore
from artscraper_gateway.workers import known_slots, lock_slot

_log = logging.getLogger(__name__)
_ADOPT_EVERY_S = 5.0
_LIGHT_JOBS_AT_ONCE = 32
_NICENESS = 10  # the web process answers at once while workers use every core


class SlotTaken(Exception):
    """Another worker runs with this slot."""

    def __init__(self, slot: int) -> None:
        super().__init__(f"slot {slot} is taken by another worker; choose another number")


def run_worker(config: GatewayConfig, *, slot: int, supervised: bool) -> None:
    """Works the queue as executor `slot-<slot>`; returns when told to stop and drained.

    No two processes may run with one slot at a time: they would take each other's jobs. A
    supervisor has taken the slot's lock for its worker; one that is not supervised takes it here.

    Raises:
        SlotTaken: another process has the slot.
    """
    lock = None if supervised else lock_slot(config, slot)
    if lock is None and not supervised:
        raise SlotTaken(slot)
    os.nice(_NICENESS)
    stop = _stop_event(supervised)
    worker = f"slot-{slot}"
    store = JobStore(open_engine(config))
    store.release_dead(worker)
    JobRunner(config, store, worker).register()
    _launch(config, store, worker)
    _log.info("worker %s is ready", worker)
    while not stop.wait(_ADOPT_EVERY_S):
        _adopt_abandoned(config, store)
    _drain(config, store, worker)


def _adopt_abandoned(config: GatewayConfig, store: JobStore) -> None:
    """Puts back what a worker left behind whose slot nobody will ever fill again.

    DBOS gives a dead executor's jobs to the next one of the same name only; fewer workers than
    before would leave some of them waiting for ever.
    """
    for slot in known_slots(config):
        if slot < config.worker_concurrency or not store.holds_any(worker := f"slot-{slot}"):
            continue
        lock = lock_slot(config, slot)
        if lock is None:
            continue
        _log.warning("taking over the jobs of %s, which is gone", worker)
        store.release_dead(worker)
        DBOS._recover_pending_workflows([worker])
        os.close(lock)


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
            "system_database_url": f"sqlite:///{config.database_path}",
            "system_database_engine": store.engine,
            "application_version": WORKFLOW_VERSION,
            "executor_id": worker,
            "serializer": JSONSerializer(),
            "run_migrations": False,
            "log_level": "WARNING",
        }
    )
    DBOS.launch()
    for queue, at_once in ((LIGHT, _LIGHT_JOBS_AT_ONCE), (HEAVY, 1)):
        DBOS.register_queue(
            queue, worker_concurrency=at_once, polling_interval_sec=config.poll_interval
        )


def _drain(config: GatewayConfig, store: JobStore, worker: str) -> None:
    """Finishes what runs, as far as `drain_timeout` allows; the rest waits for the next start."""
    _log.info("worker %s stops", worker)
    # At the deadline the process ends at once, while its jobs still run: were DBOS taken down
    # first, a stage that ends in that moment could not be recorded, and would look like a failure.
    deadline = threading.Timer(config.drain_timeout, _end, (store, worker))
    deadline.start()
    DBOS.destroy(workflow_completion_timeout_sec=int(config.drain_timeout) + 60)
    deadline.cancel()
    _end(store, worker)


def _end(store: JobStore, worker: str) -> None:
    store.return_unfinished(worker)
    _log.info("worker %s stopped", worker)
    logging.shutdown()
    os._exit(0)
