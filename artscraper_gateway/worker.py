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
import time

from dbos import DBOS
from dbos import DBOSPortableJSONSerializer as JSONSerializer

from artscraper_gateway.config import GatewayConfig
from artscraper_gateway.database import open_engine
from artscraper_gateway.job_queue import APPLICATION, HEAVY, LIGHT, WORKFLOW_VERSION
from artscraper_gateway.jobs import JobRunner
from artscraper_gateway.store import JobStore

_log = logging.getLogger(__name__)
_LIGHT_JOBS_AT_ONCE = 32
_NICENESS = 10  # the web process answers at once while workers use every core


def run_worker(config: GatewayConfig, *, slot: int, supervised: bool) -> None:
    """Works the queue as executor `slot-<slot>`; returns when told to stop and drained.

    No two processes may run with one slot at a time: they would take each other's jobs.
    """
    os.nice(_NICENESS)
    stop = _stop_event(supervised)
    worker = f"slot-{slot}"
    store = JobStore(open_engine(config))
    store.release_dead(worker)
    JobRunner(config, store, worker).register()
    _launch(config, store, worker)
    _log.info("worker %s is ready", worker)
    stop.wait()
    _drain(config, store, worker)


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
    begun = time.monotonic()
    DBOS.destroy(workflow_completion_timeout_sec=int(config.drain_timeout))
    store.return_unfinished(worker)
    _log.info("worker %s stopped after %.1f s", worker, time.monotonic() - begun)
    logging.shutdown()
    # A stage that did not finish in time must not keep the process: its job goes on elsewhere.
    os._exit(0)
