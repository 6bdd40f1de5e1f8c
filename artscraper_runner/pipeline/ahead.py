"""What a run computes in a second thread: the next stage, and what later ones need."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context

from artscraper_runner.pipeline.layers import AppliedStage
from artscraper_runner.stages.stage import Stage, StageInput
from artscraper_runner.types import Controls, Progress


class Preparation:
    """Prepares stages one after another, from the original alone, beside the first stage.

    An error is not reported: the stage meets it again when it is applied.

    Args:
        stages: in the order in which they run.
        inputs: the input of a stage, with the original as its pixels.
    """

    def __init__(self, stages: Sequence[Stage], inputs: StageInput) -> None:
        self._is_stopping = threading.Event()
        pool = ThreadPoolExecutor(1)  # its thread ends with the work
        self._futures = {
            stage.name: pool.submit(copy_context().run, self._prepare, stage, inputs)
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

    def _prepare(self, stage: Stage, inputs: StageInput) -> None:
        if not self._is_stopping.is_set():
            stage.prepare(inputs)


class StageAhead:
    """Stage number `index` of a run, applied while the layer before it is saved and measured.

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
