"""The stage `invisible-watermark`: a short text in the picture, readable by invisible-watermark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artscraper_runner.protections.stage import Stage, StageInput
from artscraper_runner.types import Json, Project, StageResult
from artscraper_runner.watermarks import dwt_dct_svd

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class InvisibleWatermark(Stage):
    """DWT-DCT-SVD watermark, compatible both ways with the package invisible-watermark 0.2.0."""

    name = "invisible-watermark"
    description = "Hides a short text that the package invisible-watermark reads (dwtDctSvd)."
    project = Project(
        "invisible-watermark", "method dwtDctSvd, bytes payload, re-implemented and compatible"
    )

    def apply(self, given: StageInput) -> StageResult:
        """Embeds `options.watermark_text`; a picture under the smallest size is passed through."""
        height, width = given.pixels.shape[:2]
        if min(height, width) < dwt_dct_svd.MIN_SIDE:
            return StageResult(
                pixels=None,
                reason=f"needs at least {dwt_dct_svd.MIN_SIDE}x{dwt_dct_svd.MIN_SIDE} px,"
                f" the picture has {width}x{height}",
            )
        payload = given.options.watermark_text.encode()
        return StageResult(
            pixels=dwt_dct_svd.embed(given.pixels, payload),
            metrics={"method": "dwtDctSvd", "payload_bytes": len(payload)},
        )

    def measure(self, saved: NDArray[np.uint8], given: StageInput) -> Json:
        """Returns `bit_accuracy`, 0..1: the share of payload bits read back from the saved file."""
        payload = given.options.watermark_text.encode()
        return {"bit_accuracy": dwt_dct_svd.bit_accuracy(saved, payload)}
