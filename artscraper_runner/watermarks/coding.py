"""Frames of the tiled watermark: a payload and its checksum, and the messages that carry them.

A frame is 8 bytes for a number or 10 for a text (`artscraper_runner.options`), followed by the
CRC-24 of OpenPGP (RFC 4880, section 6.1). The longer frame spreads the same energy over more bits,
so a number survives a little more than a text. A reader tries both.

Any of 4,096 codewords carries the same frame: a message is a salt of 12 bits and the frame, mixed
with bits that the salt chooses. A writer takes the one to which the picture already leans most
(`likeliest_codeword`), for which it needs a fifth less energy: informed coding, after Costa,
"Writing on dirty paper" (IEEE Trans. Inf. Theory 29(3), 1983), and Miller, Doerr & Cox, "Applying
informed coding and embedding to design a robust high-capacity watermark" (IEEE Trans. Image
Processing 13(6), 2004). Differs: theirs changes the trellis, this only what goes into it. Releases
before 0.3 wrote frames without a salt; a reader tries these, too.

`convolutional` turns messages into code bits.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np

from artscraper_runner.errors import InvalidOption
from artscraper_runner.options import NUMBER_BYTES, TEXT_BYTES
from artscraper_runner.watermarks.convolutional import Bits, Softs, encode

PAYLOAD_BYTES = (NUMBER_BYTES, TEXT_BYTES)
CHECKSUM_BITS = 24
SALT_BITS = 12
_CHECKSUM_BYTES = CHECKSUM_BITS // 8
_CRC_POLYNOMIAL = 0x864CFB
_CRC_START = 0xB704CE


def checksum(message: bytes) -> int:
    """Return the CRC-24 of `message`, 0 to 2 ** 24 - 1."""
    register = _CRC_START
    for byte in message:
        register ^= byte << 16
        for _ in range(8):
            register <<= 1
            if register & 0x1000000:
                register ^= 0x1000000 | _CRC_POLYNOMIAL
    return register


def frame_bits(payload_bytes: int) -> int:
    """Return the number of bits in the frame of a payload."""
    return 8 * payload_bytes + CHECKSUM_BITS


def pack(payload: bytes) -> Bits:
    """Return the frame of a payload, uint8 0 or 1, most significant bit first.

    Raises:
        InvalidOption: the payload has neither NUMBER_BYTES nor TEXT_BYTES.
    """
    if len(payload) not in PAYLOAD_BYTES:
        raise InvalidOption(
            f"expected a payload of {NUMBER_BYTES} bytes (a number) or {TEXT_BYTES} (a text),"
            f" found {len(payload)}"
        )
    frame = payload + checksum(payload).to_bytes(_CHECKSUM_BYTES, "big")
    return np.unpackbits(np.frombuffer(frame, np.uint8))


def unpack(bits: Bits) -> tuple[bytes, bool]:
    """Return the payload of a frame, and whether its checksum is right."""
    frame = np.packbits(bits).tobytes()
    payload, check = frame[:-_CHECKSUM_BYTES], frame[-_CHECKSUM_BYTES:]
    return payload, checksum(payload) == int.from_bytes(check, "big")


def salted(frame: Bits, salt: int) -> Bits:
    """Return the message of a frame under a salt, 0 to 2 ** SALT_BITS - 1."""
    return np.concatenate([_salts()[salt], frame ^ _mixing(frame.size)[salt]])


def unsalted(message: Bits) -> Bits:
    """Return the frame of a salted message."""
    salt = int("".join(map(str, message[:SALT_BITS])), 2)
    frame: Bits = message[SALT_BITS:] ^ _mixing(message.size - SALT_BITS)[salt]
    return frame


def likeliest_codeword(frame: Bits, softs: Softs) -> Bits:
    """Return the code bits of the frame under the salt that agrees best with `softs`.

    Args:
        frame: as `pack` makes it.
        softs: as for `decode`, of the picture before it is marked.
    """
    plain = encode(np.concatenate([np.zeros(SALT_BITS, np.uint8), frame]))
    choices = _codewords(frame.size)
    agreement = (1 - 2 * choices.astype(np.float32)) @ (softs * (1 - 2 * plain.astype(np.float32)))
    likeliest: Bits = choices[int(agreement.argmax())] ^ plain
    return likeliest


@cache
def _salts() -> Bits:
    """Return the bits of every salt, uint8 (2 ** SALT_BITS, SALT_BITS)."""
    numbers = np.arange(1 << SALT_BITS)[:, None]
    return (numbers >> np.arange(SALT_BITS - 1, -1, -1) & 1).astype(np.uint8)


@cache
def _mixing(bits: int) -> Bits:
    """Return what every salt mixes into a frame of `bits` bits, uint8 (2 ** SALT_BITS, bits)."""
    size = (1 << SALT_BITS) * bits
    stream = hashlib.shake_256(f"tiled watermark, {bits}".encode()).digest(size // 8)
    return np.unpackbits(np.frombuffer(stream, np.uint8)).reshape(-1, bits)


@cache
def _codewords(bits: int) -> Bits:
    """Return the code bits of every salt with a frame of `bits` zeros; the code is linear."""
    messages = np.concatenate([_salts(), _mixing(bits)], axis=1)
    rows = np.stack([encode(row) for row in np.eye(messages.shape[1], dtype=np.uint8)])
    sums = messages.astype(np.float32) @ rows.astype(np.float32)
    return (sums.astype(np.uint16) & 1).astype(np.uint8)
