"""Stages that do on purpose what real ones do by accident."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from artscraper_runner.stages.stage import Stage, StageInput
from artscraper_runner.types import Controls, Project, StageResult

GATE_WIDTH, DEADLY_WIDTH, BROKEN_WIDTH = 300, 301, 302  # px; other pictures pass


class Gate(Stage):
    name = "gate"
    description = "Waits until the test opens it."
    project = Project("test", "gate")

    def apply(self, inputs: StageInput) -> StageResult:
        if inputs.pixels.shape[1] == GATE_WIDTH:
            with Path("gate-entered").open("a") as file:
                file.write("x")
            while not Path("gate-open").exists():
                inputs.controls.checkpoint()
                time.sleep(0.01)
        return StageResult(inputs.pixels)


class Deadly(Stage):
    name = "deadly"
    description = "Kills its process."
    project = Project("test", "deadly")

    def apply(self, inputs: StageInput) -> StageResult:
        if inputs.pixels.shape[1] == DEADLY_WIDTH:
            os.kill(os.getpid(), signal.SIGKILL)
        return StageResult(inputs.pixels)


class Broken(Stage):
    name = "broken"
    description = "Raises."
    project = Project("test", "broken")

    def apply(self, inputs: StageInput) -> StageResult:
        if inputs.pixels.shape[1] == BROKEN_WIDTH:
            raise KeyError("/secret/server/path")
        return StageResult(inputs.pixels)


class Endless(Stage):
    """The file `steps` has `.` for each iteration of the engine, `!` for each wish that it stop."""

    name = "endless"
    description = "Takes steps of the engine until it is told to stop."
    project = Project("test", "endless")

    def apply(self, inputs: StageInput) -> StageResult:
        import numpy as np

        from artscraper_runner.attacks.constraints import Box
        from artscraper_runner.attacks.pgd import optimise
        from artscraper_runner.attacks.presets import StepRule

        def note(mark: str) -> None:
            with Path("steps").open("a") as file:
                file.write(mark)

        def score(picture: np.ndarray, _iteration: int) -> tuple[float, np.ndarray]:
            note(".")
            time.sleep(0.001)
            return float(picture.sum()), np.ones_like(picture)

        def should_stop() -> bool:
            stop = inputs.controls.should_stop()
            note("!" if stop else "")
            return stop

        picture = np.full((1, 3, 2, 2), 0.5, np.float32)
        start, bound = np.zeros_like(picture), np.full((1, 1, 2, 2), 0.1, np.float32)
        optimise(
            picture,
            start=start,
            constraint=Box(picture, start, bound),
            objective=score,
            rule=StepRule(
                iterations=10**9, first_step=0.1, last_step=0.1, momentum=0.0, start_noise=0.0
            ),
            seed=0,
            controls=Controls(inputs.controls.on_progress, should_stop),
        )
        return StageResult(inputs.pixels)
