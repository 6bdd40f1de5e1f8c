"""The stage `fourier-ring`: a mark without a message that survives turning and resizing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.errors import PictureTooSmall
from artscraper_runner.stages.stage import Stage, StageInput
from artscraper_runner.types import Json, Project, StageResult
from artscraper_runner.watermarks import fourier_ring


class FourierRing(Stage):
    """Keyed rings in the Fourier magnitudes of luma; see `watermarks.fourier_ring`."""

    name = "fourier-ring"
    description = "Makes rings of the picture's spectrum a little louder or quieter, by a key."
    project = Project("Fourier ring", "a ring mark in the spectrum of the finished picture")
    measures_final = True

    def apply(self, inputs: StageInput) -> StageResult:
        """Mark the picture; pass one through that is too small or cannot carry the rings."""
        is_marked = self._is_detected(inputs.original)
        if is_marked and inputs.options.keep_watermark:
            reason = "the picture seems to carry the rings already, which are kept"
            return StageResult(pixels=None, reason=reason, metrics={"earlier_rings": True})
        try:
            marked = fourier_ring.embed(inputs.pixels)
        except PictureTooSmall as error:
            least = fourier_ring.MIN_SIDE
            reason = (
                f"needs at least {least} px a side, the picture has {error.width}x{error.height}"
            )
            return StageResult(pixels=None, reason=reason)
        if not self._is_detected(inputs.admissible(marked)):
            reason = (
                "the rings cannot be detected: the picture is of one colour, or too little of"
                " it can be seen"
            )
            return StageResult(pixels=None, reason=reason)
        return StageResult(pixels=marked, metrics={"earlier_rings": is_marked})

    def measure(self, saved: NDArray[np.uint8], inputs: StageInput) -> Json:
        """Return whether the saved file is `detected`, the `p_value` and the `score`."""
        detection = fourier_ring.detect(saved)
        return {
            "detected": detection.is_marked,
            "p_value": round(detection.p_value, 6),
            "score": round(detection.score, 2),
        }

    @staticmethod
    def _is_detected(pixels: NDArray[np.uint8]) -> bool:
        return fourier_ring.detect(pixels).is_marked
