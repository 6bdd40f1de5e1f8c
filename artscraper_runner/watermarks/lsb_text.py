"""Text in the lowest bits of the pixels, in the format of the package Stegano (its module lsb).

The text is written as "<its bytes>:<text>" in UTF-8, most significant bit first, into the lowest
bits of R, G, B, pixel by pixel in rows; the rest of the last pixel is filled with zeros. Anything
that changes a pixel destroys it. Stegano before 3.0 counts characters, so it reveals ASCII only.
"""

from __future__ import annotations

import numpy as np

from artscraper_runner.errors import PayloadSizeError
from artscraper_runner.watermarks import Pixels


def embed(pixels: Pixels, text: str) -> Pixels:
    """Return a copy of uint8 (H, W, 3) that Stegano reveals `text` from.

    Raises:
        PayloadSizeError: empty, or longer than the picture has room for.
    """
    bits = _bits(text)
    if not text or bits.size > pixels.size:
        room = max(pixels.size // 8 - len(str(pixels.size // 8)) - 1, 0)
        raise PayloadSizeError(payload_bytes=len(text.encode()), max_bytes=room)
    marked = np.array(pixels, order="C")
    lowest = marked.reshape(-1)[: bits.size]
    lowest &= 0xFE
    lowest |= bits
    return marked


def holds(pixels: Pixels, text: str) -> bool:
    """Return whether uint8 (H, W, 3) carries exactly `text`."""
    bits = _bits(text)
    lowest = np.ascontiguousarray(pixels).reshape(-1)[: bits.size] & 1
    return bool(np.array_equal(lowest, bits))


def pixels_needed(text: str) -> int:
    """Return how many pixels, from the first one on, carry `text`."""
    return -(-_bits(text).size // 3)


def _bits(text: str) -> Pixels:
    encoded = text.encode("utf-8")
    message = np.frombuffer(f"{len(encoded)}:".encode() + encoded, np.uint8)
    bits = np.unpackbits(message)
    return np.pad(bits, (0, -bits.size % 3))
