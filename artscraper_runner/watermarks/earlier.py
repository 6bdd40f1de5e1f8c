"""Notice the mark that a picture carries before it gets another."""

from __future__ import annotations

from dataclasses import dataclass

from artscraper_runner.watermarks import Pixels, dwt_dct_svd, tiled_spread_spectrum


@dataclass(frozen=True)
class EarlierMark:
    """A mark by the method `tiled` or `dwtDctSvd`; `payload` in hex."""

    method: str
    payload: str


def find_earlier_mark(pixels: Pixels) -> EarlierMark | None:
    """Return the mark that uint8 (H, W, 3) carries, None without one.

    A tiled mark is also found in a picture that was cropped, turned or pasted since. One of
    dwtDctSvd has no checksum and is found only where its blocks still lie where they were.

    Raises:
        UnsupportedPixels: `pixels` is not uint8 (H, W, 3).
    """
    reading = tiled_spread_spectrum.read_watermark(pixels)
    if reading.payload is not None:
        return EarlierMark("tiled", reading.payload)
    payload = dwt_dct_svd.find(pixels)
    return None if payload is None else EarlierMark("dwtDctSvd", payload.hex())
