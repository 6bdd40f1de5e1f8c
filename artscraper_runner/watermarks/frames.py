"""The bits of the tiled watermark: a payload and its checksum.

There are two frames, for the two kinds of payload (`artscraper_runner.payloads`): 8 bytes for a
number, 10 for a text, each followed by its CRC-24. The longer frame spreads the same strength over
more bits, so a number survives a little more than a text. A reader tries both.
"""

from __future__ import annotations

import numpy as np

from artscraper_runner.errors import InvalidOption
from artscraper_runner.payloads import NUMBER_BYTES, TEXT_BYTES
from artscraper_runner.watermarks.error_correction import CHECKSUM_BITS, Bits, checksum

FRAME_BYTES = (NUMBER_BYTES, TEXT_BYTES)
_CHECKSUM_BYTES = CHECKSUM_BITS // 8


def frame_bits(payload_bytes: int) -> int:
    """Returns how many bits the frame of a payload has."""
    return 8 * payload_bytes + CHECKSUM_BITS


def pack(payload: bytes) -> Bits:
    """Returns the frame of a payload, uint8 0 or 1, most significant bit first.

    Raises:
        InvalidOption: neither NUMBER_BYTES nor TEXT_BYTES long.
    """
    if len(payload) not in FRAME_BYTES:
        raise InvalidOption(
            f"expected a payload of {NUMBER_BYTES} bytes (a number) or {TEXT_BYTES} (a text),"
            f" found {len(payload)}"
        )
    whole = payload + checksum(payload).to_bytes(_CHECKSUM_BYTES, "big")
    return np.unpackbits(np.frombuffer(whole, np.uint8))


def unpack(bits: Bits) -> tuple[bytes, bool]:
    """Returns a frame's payload, and whether its checksum is right."""
    whole = np.packbits(bits).tobytes()
    payload, found = whole[:-_CHECKSUM_BYTES], whole[-_CHECKSUM_BYTES:]
    return payload, checksum(payload) == int.from_bytes(found, "big")
