"""The stage `fourier-ring`: a mark without a message that survives turning and resizing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artscraper_runner.errors import PictureTooSmall
from artscraper_runner.protections.stage import Stage, StageInput
from artscraper_runner.types import Json, Project, StageResult
from artscraper_runner.watermarks import fourier_ring

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class FourierRing(Stage):
    """Keyed rings in the Fourier magnitudes of luma; see `watermarks.fourier_ring`."""

    name = "fourier-ring"
    description = "Makes rings of the picture's spectrum a little louder or quieter, by a key."
    project = Project("Fourier ring", "a ring mark in the spectrum of the finished picture")

    def apply(self, given: StageInput) -> StageResult:
        """Marks the picture; one that is too small is passed through."""
        try:
            return StageResult(pixels=fourier_ring.embed(given.pixels))
        except PictureTooSmall as error:
            least = fourier_ring.MIN_SIDE
            reason = (
                f"needs at least {least} px a side, the picture has {error.width}x{error.height}"
            )
            return StageResult(pixels=None, reason=reason)

    def measure(self, saved: NDArray[np.uint8], given: StageInput) -> Json:
        """Returns whether the saved file is `detected`, the `p_value` and the `score`."""
        found = fourier_ring.detect(saved)
        return {
            "detected": found.is_marked,
            "p_value": round(found.p_value, 6),
            "score": round(found.score, 2),
        }
