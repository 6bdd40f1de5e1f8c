"""The interface of protection stages: a name, a change to the pixels, and a measurement of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from artscraper_runner.attacks.run_cache import RunCache
from artscraper_runner.options import ProtectionOptions, SigningSettings
from artscraper_runner.types import Controls, Json, Project, SourceFile, StageResult

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from artscraper_runner.imaging.encode import LayerFormat
    from artscraper_runner.imaging.visibility import VisibleChange

CLOAKING_STAGE = "fawkes"  # its cloaks are preserved by later stages
_BAND_ROWS = 256


def _png() -> LayerFormat:
    from artscraper_runner.imaging.encode import (
        LayerFormat,  # loads NumPy, which a server needs not
    )

    return LayerFormat("PNG", ".png", lossless=True)


@dataclass(frozen=True)
class StageInput:
    """The input of a stage. Arrays are uint8 sRGB, upright, and must not be written to.

    `pixels` (H, W, 3) is the layer before this one, `original` (H, W, 3) the picture as received
    (budgets count against it), `alpha` (H, W) or None. Where alpha is 0 the pipeline puts the
    original's pixels back after the stage. `saved_as` is how the layer will be encoded, `xmp` the
    packet that will be saved with it, `signing` the credentials for signed files, if any.
    `stages_explicit`: the caller named the stages, so a stage whose optional package is missing
    fails; otherwise it is left out, with the reason. `stages_before` are the stages whose layers
    come before.
    `visibility` bounds the visibility of the layer against the original; None: unbounded.
    `made`: for `measure`, the layer as it is handed on, before it is encoded; None: as saved.
    `cache` belongs to the run. `is_grey`: R = G = B in the original, and so in every layer.
    `source` is the file as received, None where there is none. `is_preview`: only the pixels count,
    so a stage may leave out what it merely records.
    """

    pixels: NDArray[np.uint8]
    original: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    options: ProtectionOptions
    controls: Controls
    saved_as: LayerFormat = field(default_factory=_png)
    xmp: bytes | None = None
    signing: SigningSettings | None = None
    stages_explicit: bool = False
    stages_before: tuple[str, ...] = ()
    visibility: float | None = None
    made: NDArray[np.uint8] | None = None
    cache: RunCache = field(default_factory=RunCache)
    is_grey: bool = False
    source: SourceFile | None = None
    is_preview: bool = False

    def admissible(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return `pixels` as the pipeline keeps them of any stage.

        Where alpha is 0 the pixels of the original are kept, since no change there is visible; a
        grey picture stays grey: R = G = B is the mean of what the stage made of the channels.
        """
        import numpy as np

        if self.is_grey:
            pixels = _mean_of_channels(pixels)
        if self.alpha is None:
            return pixels
        return np.where((self.alpha == 0)[..., None], self.original, pixels)

    def visible_change(self) -> VisibleChange:
        """Return the visibility of changes of the original; made once in a run."""
        from artscraper_runner.imaging.visibility import VisibleChange

        key = self.cache.token(self.original)
        return self.cache.remember("visibility", key, lambda: VisibleChange.of(self.original))


def _mean_of_channels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import numpy as np

    grey = np.empty_like(pixels)
    for top in range(0, len(pixels), _BAND_ROWS):
        rows = pixels[top : top + _BAND_ROWS].sum(2, dtype=np.uint16)
        grey[top : top + _BAND_ROWS] = ((rows + 1) // 3)[..., None]
    return grey


class Stage(ABC):
    """A protection. The same input and options give the same pixels.

    Most stages change pixels only. One that changes the file returns its pixels as they came, and
    overrides `edit_xmp` or `finish_file`, which are called for applied layers only. Later layers
    are saved anew, so what such a stage did is in its own layer only: `chosen_stages` puts it last.
    """

    name: ClassVar[str]
    description: ClassVar[str]  # one sentence, for summary.json
    project: ClassVar[Project]  # the published work it implements or uses
    measures_final: ClassVar[bool] = False  # whether `measure_final` is called
    is_bounded_by_sight: ClassVar[bool] = False  # what shows too much of it is scaled back

    def prepare(self, inputs: StageInput) -> None:  # noqa: B027 - most stages need none
        """Compute what the stage needs of the original alone, into the run's cache.

        Called in another thread, while a stage before this one is applied. `inputs.pixels` is the
        original.
        """

    @abstractmethod
    def apply(self, inputs: StageInput) -> StageResult:
        """Return the changed picture, or `pixels=None` and the reason why it cannot apply.

        Raises:
            Cancelled: `inputs.controls.should_stop` answered true.
            RunnerError: the stage broke.
        """

    def why_lost(self, pixels: NDArray[np.uint8], inputs: StageInput) -> str | None:
        """Return why the stage does nothing once it is scaled back to `pixels`; None: it does."""
        return None

    def edit_xmp(self, xmp: bytes | None, options: ProtectionOptions) -> bytes | None:
        """Return the XMP packet to save with the layer, from the original's (None: none)."""
        return xmp

    def finish_file(self, path: Path, inputs: StageInput) -> Json:
        """Change the saved layer at `path` in place, whole or not at all, but not its pixels.

        Returns measurements of the file for the layer's `metrics`.

        Raises:
            RunnerError: it could not; the stage has failed.
        """
        return {}

    def measure(self, saved: NDArray[np.uint8], inputs: StageInput) -> Json:
        """Return measurements of the layer as saved and opened again, for its `metrics`."""
        return {}

    def measure_final(self, final: NDArray[np.uint8], inputs: StageInput) -> Json:
        """Return this stage's remaining effect in the last layer, for its `metrics["final"]`.

        `final` is the last layer as saved and opened again; `inputs.pixels` is the original.
        Unless overridden, it is measured as the stage's own layer is.
        """
        return self.measure(final, inputs)
