"""Kill the worker once at each boundary between stages if DIE_AT_EACH_BOUNDARY is set.

What it died at stands in the file `boundaries` of its working directory.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

STAGES = ("original", "invisible-watermark", "summary")  # of a job without analysis
BOUNDARIES = (
    *(f"{moment}:{stage}" for stage in STAGES for moment in ("begun", "made", "recorded")),
    "published",
    "finished",
)


def die_once(boundary: str) -> None:
    died = Path("boundaries")
    if died.exists() and boundary in died.read_text().split():
        return
    with died.open("a") as file:
        file.write(f"{boundary}\n")
    os.kill(os.getpid(), signal.SIGKILL)


def lay() -> None:
    """Wrap what a worker does at the boundaries."""
    from artscraper_gateway.jobs.repository import JobStore
    from artscraper_gateway.storage.base import Storage
    from artscraper_gateway.worker.steps import JobSteps as steps

    execute, run_step = steps._execute, steps.run_step
    publish, finish = Storage.publish, JobStore.finish

    def executed(self: Any, stage: str, work: Callable[[], Any]) -> Any:
        def begun() -> Any:
            die_once(f"begun:{stage}")
            return work()

        result = execute(self, stage, begun)
        die_once(f"made:{stage}")
        return result

    def recorded(self: Any, stage: str, work: Callable[[], Any]) -> Any:
        result = run_step(self, stage, work)
        die_once(f"recorded:{stage}")
        return result

    def published(self: Any, *given: Any) -> None:
        publish(self, *given)
        die_once("published")

    def finished(self: Any, *given: Any, **named: Any) -> Any:
        ended = finish(self, *given, **named)
        die_once("finished")
        return ended

    steps._execute, steps.run_step = executed, recorded  # type: ignore[method-assign]
    Storage.publish = published  # type: ignore[method-assign]
    JobStore.finish = finished  # type: ignore[method-assign]
