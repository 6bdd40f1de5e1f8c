"""The next stage, applied in its own thread while the layer before it is saved and measured."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context

from artscraper_runner.pipeline.layers import AppliedStage
from artscraper_runner.types import Controls, Progress


class StageAhead:
    """Stage number `index` of a run, which is applied ahead.

    Its progress is reported once its result is awaited: until then the stage before it is the
    current one.

    Args:
        index: of the stage's layer, from 1.
        apply: applies the stage under the given controls.
        controls: of the run.
    """

    def __init__(
        self, index: int, apply: Callable[[Controls], AppliedStage], controls: Controls
    ) -> None:
        self.index = index
        self._controls = controls
        self._is_awaited, self._is_stopping = threading.Event(), threading.Event()
        own = Controls(self._on_progress, self._should_stop)
        pool = ThreadPoolExecutor(1)  # its thread ends with the work
        self._future: Future[AppliedStage] = pool.submit(copy_context().run, apply, own)
        pool.shutdown(wait=False)

    def result(self) -> AppliedStage:
        """Wait for the applied stage; raises what applying it raised."""
        self._is_awaited.set()
        return self._future.result()

    def stop(self) -> None:
        """Cancel the stage at its next checkpoint, and wait for that."""
        self._is_stopping.set()
        wait([self._future])

    def _on_progress(self, progress: Progress) -> None:
        if self._is_awaited.is_set():
            self._controls.on_progress(progress)

    def _should_stop(self) -> bool:
        return self._is_stopping.is_set() or self._controls.should_stop()
