"""The stage `stegano-embed`: a text in the lowest bits, which the package Stegano reveals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.errors import PayloadSizeError
from artscraper_runner.stages.stage import Stage, StageInput
from artscraper_runner.types import Json, Project, StageResult
from artscraper_runner.watermarks import lsb_text


class SteganoEmbed(Stage):
    """Stegano's LSB text format: the watermark's text, else its number in hex."""

    name = "stegano-embed"
    description = "Writes the watermark's text into the lowest bits, as Stegano does."
    project = Project(
        "Stegano (embed)", "its LSB text format, re-implemented; lossless files only, not robust"
    )
    measures_final = True

    def apply(self, inputs: StageInput) -> StageResult:
        """Write the text; pass the picture through where saving would destroy the text."""
        if not inputs.saved_as.lossless:
            reason = f"the layer is saved as {inputs.saved_as.name}, which would destroy the text"
            return StageResult(pixels=None, reason=reason)
        if inputs.is_grey:
            reason = "the picture is grey, and the text would add colour to it"
            return StageResult(pixels=None, reason=reason)
        text = _text(inputs)
        try:
            marked = lsb_text.embed(inputs.pixels, text)
        except PayloadSizeError as error:
            return StageResult(pixels=None, reason=str(error))
        if inputs.alpha is not None:
            first = inputs.alpha.reshape(-1)[: lsb_text.pixels_needed(text)]
            if not first.all():
                return StageResult(pixels=None, reason="the first pixels are transparent")
        return StageResult(pixels=marked, metrics={"text": text})

    def measure(self, saved: NDArray[np.uint8], inputs: StageInput) -> Json:
        """Return `decoded`: whether the saved file, opened upright, holds the text."""
        return {"decoded": lsb_text.holds(saved, _text(inputs))}


def _text(inputs: StageInput) -> str:
    options = inputs.options
    return options.watermark_text or options.watermark_payload or ""
