"""What the stages of a run need of the original alone, computed beside its first stage."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context

from artscraper_runner.stages.stage import Stage, StageInput


class Preparation:
    """Prepares stages one after another in a thread of its own.

    An error is not reported: the stage meets it again when it is applied.

    Args:
        stages: in the order in which they run.
        given: the input of a stage, with the original as its pixels.
    """

    def __init__(self, stages: Sequence[Stage], given: StageInput) -> None:
        self._is_stopping = threading.Event()
        pool = ThreadPoolExecutor(1)  # its thread ends with the work
        self._futures = {
            stage.name: pool.submit(copy_context().run, self._prepare, stage, given)
            for stage in stages
        }
        pool.shutdown(wait=False)

    def wait_for(self, name: str) -> None:
        """Wait until the stage called `name` is prepared, if it is among these."""
        wait([self._futures[name]] if name in self._futures else [])

    def stop(self) -> None:
        """Prepare no further stage, and wait for the current one."""
        self._is_stopping.set()
        wait(self._futures.values())

    def _prepare(self, stage: Stage, given: StageInput) -> None:
        if not self._is_stopping.is_set():
            stage.prepare(given)
