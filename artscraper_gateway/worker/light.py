"""Jobs that only file a picture away: taken from their table by the dozen, ended together.

What makes them safe is what makes the others safe: a job is held by a registered worker or by
nobody, so those of a worker that dies are taken by the next that looks; the results come to their
place whole; and only the holder ends a job.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

from artscraper_gateway.db.retry import patiently
from artscraper_gateway.jobs.leases import WorkerGivenUp
from artscraper_gateway.worker.runner import JobRunner

_log = logging.getLogger(__name__)
_AT_ONCE = 32
_THREADS = 4  # what waits for a disk or for object storage does not hold up the rest


class LightJobs:
    """The thread of a worker that runs light jobs."""

    def __init__(self, runner: JobRunner) -> None:
        self._runner = runner
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Begins to take jobs."""
        self._thread.start()

    def stop(self) -> None:
        """Returns when those that were taken have ended."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        with ThreadPoolExecutor(_THREADS) as threads:
            while not self._stop.is_set():
                try:
                    some = self._run_some(threads)
                except WorkerGivenUp:
                    return
                except Exception:  # others are to go on; these are taken again
                    _log.exception("light jobs could not be run")
                    some = False
                if not some:
                    self._stop.wait(self._runner.config.poll_interval)

    def _run_some(self, threads: ThreadPoolExecutor) -> bool:
        runner = self._runner
        taken = runner.take_light(_AT_ONCE)
        ended: set[str] = set()
        try:
            outcomes = [found for found in threads.map(runner.file_away, taken) if found]
            if outcomes:
                ended = patiently(runner.store.finish_all, outcomes, worker=runner.worker)
                runner.observer.tell_ended(taken, outcomes, ended)
        finally:
            for job in taken:
                runner.part_from(job.id, ended=job.id in ended)
        return bool(taken)
