"""Frozen values that the runner's parts hand to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from artscraper_runner.errors import Cancelled

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

Json = dict[str, Any]


@dataclass(frozen=True)
class SourceFile:
    """A picture file as received; `suffix` follows its format, not its name."""

    path: Path
    suffix: str


@dataclass(frozen=True)
class Progress:
    """The progress of a piece of work: `done` of `total` units (0 if unknown) of `what`."""

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Controls:
    """Callbacks to watch and stop a run; both are called often and must be quick."""

    on_progress: Callable[[Progress], None] = lambda progress: None
    should_stop: Callable[[], bool] = lambda: False

    def checkpoint(self) -> None:
        """Raise `Cancelled` if the caller has requested a stop."""
        if self.should_stop():
            raise Cancelled("the run was cancelled")


@dataclass(frozen=True)
class StageResult:
    """The result of a stage.

    `pixels` is uint8 (H, W, 3) sRGB of the input's size, or None when the stage could not apply;
    then `reason` is set and the input is passed through unchanged. `visibility` is the bound on
    what shows that the stage kept instead of its input's; infinite where it had none.
    `is_within_sight`: the stage has scaled its change back to that bound itself.
    """

    pixels: NDArray[np.uint8] | None
    reason: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    processing_size: tuple[int, int] | None = None  # [w, h] in px; None: the whole picture
    visibility: float | None = None  # None: the input's
    is_within_sight: bool = False


@dataclass(frozen=True)
class Project:
    """A published work behind a stage or a processor, for summary.json's `projects`."""

    name: str
    notes: str
