"""Stages that do on purpose what real ones do by accident."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from artscraper_runner.protections.stage import Stage, StageInput
from artscraper_runner.types import Project, StageResult

GATE_WIDTH, DEADLY_WIDTH, BROKEN_WIDTH = 300, 301, 302  # px; other pictures pass


class Gate(Stage):
    name = "gate"
    description = "Waits until the test opens it."
    project = Project("test", "gate")

    def apply(self, given: StageInput) -> StageResult:
        if given.pixels.shape[1] == GATE_WIDTH:
            with Path("gate-entered").open("a") as file:
                file.write("x")
            while not Path("gate-open").exists():
                given.controls.checkpoint()
                time.sleep(0.01)
        return StageResult(given.pixels)


class Deadly(Stage):
    name = "deadly"
    description = "Kills its process."
    project = Project("test", "deadly")

    def apply(self, given: StageInput) -> StageResult:
        if given.pixels.shape[1] == DEADLY_WIDTH:
            os.kill(os.getpid(), signal.SIGKILL)
        return StageResult(given.pixels)


class Broken(Stage):
    name = "broken"
    description = "Raises."
    project = Project("test", "broken")

    def apply(self, given: StageInput) -> StageResult:
        if given.pixels.shape[1] == BROKEN_WIDTH:
            raise KeyError("/secret/server/path")
        return StageResult(given.pixels)
