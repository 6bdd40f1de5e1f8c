"""Read a text hidden by the Stegano package's `lsb.hide`, version 3.0, as its output shows it.

The format: the lowest bits of R, G, B of one pixel after the other, in the order of reading, most
significant bit first, spell the payload's length in bytes as ASCII decimals, a colon, and the
payload, UTF-8 (the default) or UTF-32LE. Alpha is not used.

Reading takes one look at 88 bits, and as many more as a valid length announces: at most once over
the picture. Stegano's `generator` and `shift` scatter or move the bits; those are not searched.
Random bits pass for a message in about one picture of 60,000: the announced length must fit into
the picture and the payload must be text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_PREFIX = re.compile(rb"([1-9][0-9]{0,9}):")
_PREFIX_MAX_BYTES = 11
# UTF-32LE first: valid UTF-8 text never has a zero in every fourth byte.
_ENCODINGS = ("utf-32-le", "utf-8")


@dataclass(frozen=True)
class LsbMessage:
    """A text found in the lowest bits; `size` in hidden bytes, `encoding` a Python codec."""

    text: str
    size: int
    encoding: str


def read_lsb_message(pixels: NDArray[np.uint8]) -> LsbMessage | None:
    """Return the message in `pixels`, uint8 (H, W, 3) in the order they are stored, or None."""
    prefix = _PREFIX.match(_lowest_bits(pixels, 0, _PREFIX_MAX_BYTES))
    if prefix is None:
        return None
    start, size = prefix.end(), int(prefix[1])
    if 8 * (start + size) > pixels.size:
        return None
    payload = _lowest_bits(pixels, start, start + size)
    for encoding in _ENCODINGS:
        try:
            return LsbMessage(payload.decode(encoding), size, encoding)
        except UnicodeDecodeError:
            continue
    return None


def as_stored(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return a view of upright pixels in the order of the file, EXIF orientation (1..8) undone."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    # After the transposition (if any): which axes run backwards.
    rows = -1 if orientation in (3, 4, 6, 7) else 1
    columns = -1 if orientation in (2, 3, 7, 8) else 1
    return pixels[::rows, ::columns]


def _lowest_bits(pixels: NDArray[np.uint8], start: int, stop: int) -> bytes:
    """Return bytes `start` to `stop` of the lowest bits; shorter where the picture ends."""
    samples_per_row = pixels.shape[1] * pixels.shape[2]
    first, last = 8 * start // samples_per_row, -(-8 * stop // samples_per_row)
    samples = pixels[first:last].reshape(-1)
    offset = 8 * start - first * samples_per_row
    samples = samples[offset : offset + 8 * (stop - start)]
    whole = len(samples) // 8 * 8
    return np.packbits(samples[:whole] & 1).tobytes()
