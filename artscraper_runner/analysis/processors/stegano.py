"""Detect hidden data: a Stegano message, trailing bytes, replaced low bits."""

from __future__ import annotations

from artscraper_runner.analysis.processors import DecodedPicture
from artscraper_runner.analysis.steganalysis.lsb_message import (
    LsbMessage,
    as_stored,
    read_lsb_message,
)
from artscraper_runner.analysis.steganalysis.trailing_bytes import find_trailing_bytes
from artscraper_runner.analysis.steganalysis.weighted_stego import MIN_SIDE, embedding_rates
from artscraper_runner.options import AnalysisOptions
from artscraper_runner.types import Json, Project

PROJECT = Project(
    "Stegano (analysis)", "reads the LSB format of Stegano; the reader is this project's own"
)
PREVIEW_CHARS = 200
_CHANNELS = ("red", "green", "blue")
_FEW_COLOURS = ("P", "1")


def process(picture: DecodedPicture, options: AnalysisOptions) -> Json:
    """Return the findings; the keys are explained in docs/analysis.md."""
    message = read_lsb_message(as_stored(picture.pixels, picture.orientation))
    trailing = find_trailing_bytes(picture.path, picture.header.format)
    return {
        **_message_row(message),
        "trailing_bytes": None if trailing is None else trailing.size,
        "trailing_kind": None if trailing is None else trailing.kind,
        **_rate_rows(picture),
    }


def _message_row(message: LsbMessage | None) -> Json:
    if message is None:
        return {"found": False, "preview": None, "message_bytes": None, "encoding": None}
    return {
        "found": True,
        "preview": message.text[:PREVIEW_CHARS].replace("\0", ""),
        "message_bytes": message.size,
        "encoding": message.encoding,
    }


def _rate_rows(picture: DecodedPicture) -> Json:
    few_colours = picture.header.mode in _FEW_COLOURS
    rates = None if few_colours else embedding_rates(picture.pixels)
    if rates is None:
        reason = "few colours" if few_colours else f"a side is under {MIN_SIDE} px"
        return {"embedding_rate": None, "embedding_rate_note": f"not estimated: {reason}"}
    return {
        "embedding_rate": {
            channel: {
                "rate": round(rate.rate, 4),
                "uncertainty": round(rate.uncertainty, 4),
                "stands_out": rate.stands_out,
            }
            for channel, rate in zip(_CHANNELS, rates, strict=True)
        },
        "embedding_rate_note": None,
    }
