"""Read the default watermark of a picture that may have been changed since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artscraper_runner.payloads import text_of_payload
from artscraper_runner.types import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Reading:
    """What a picture says: `payload` in hex (16 digits a number, 20 a text), `text` if it is one.

    Both are None when no mark with a right checksum was found; `confidence` is then 0, else up
    to 1, where every wave of the mark speaks for the payload.
    """

    payload: str | None
    text: str | None
    confidence: float

    def to_json(self) -> Json:
        """Returns the reading as the command line and the gateway show it."""
        return {"payload": self.payload, "text": self.text, "confidence": self.confidence}


def read_watermark(pixels: NDArray[np.uint8], *, search: bool = True) -> Reading:
    """Returns what the tiled watermark of uint8 (H, W, 3) says.

    With `search`, pictures that were cropped, stretched or tilted are read too; that takes about
    a second for a picture without a mark, else it takes less than a tenth.

    Raises:
        UnsupportedPixels: `pixels` is not uint8 (H, W, 3).
    """
    from artscraper_runner.watermarks import tiled_spread_spectrum

    found = tiled_spread_spectrum.read(pixels, search=search)
    if found is None:
        return Reading(payload=None, text=None, confidence=0.0)
    text = text_of_payload(found.payload)
    return Reading(found.payload.hex(), text, round(found.confidence, 4))
