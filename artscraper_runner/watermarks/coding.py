"""Frames of the tiled watermark: a payload, its checksum, and an error-correcting code.

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

The code is the zero-terminated convolutional code of constraint length 11 and rate 1/3 with the
generators of Larsen, "Short convolutional codes with maximal free distance for rates 1/2, 1/3, and
1/4" (IEEE Trans. Inf. Theory 19(3), 1973): free distance 22. `decode` is the algorithm of Viterbi
(1967) on soft values, which gains about 2 dB over hard decisions and takes erasures as zeros.

Example: 11 message bits become (11 + 10) * 3 = 63 code bits; with any 20 of them erased and the
others right, `decode` still returns the 11 bits.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
import numpy.typing as npt

from artscraper_runner.errors import InvalidOption
from artscraper_runner.options import NUMBER_BYTES, TEXT_BYTES

Bits = npt.NDArray[np.uint8]
Softs = npt.NDArray[np.float32]

PAYLOAD_BYTES = (NUMBER_BYTES, TEXT_BYTES)
CHECKSUM_BITS = 24
SALT_BITS = 12
GENERATORS = (0o2353, 0o2671, 0o3175)
MEMORY = 10  # bits; the constraint length less the newest bit
_STATES = 1 << MEMORY
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


def code_length(message_bits: int) -> int:
    """Return the number of code bits of a message."""
    return (message_bits + MEMORY) * len(GENERATORS)


def encode(bits: Bits) -> Bits:
    """Return the code bits, uint8 0 or 1 of length `code_length(bits.size)`."""
    padded = np.concatenate([bits, np.zeros(MEMORY, np.uint8)]).astype(np.int64)
    code = np.empty((padded.size, len(GENERATORS)), np.uint8)
    for output, generator in enumerate(GENERATORS):
        taps = np.array([generator >> shift & 1 for shift in range(MEMORY, -1, -1)])
        code[:, output] = np.convolve(padded, taps)[: padded.size] & 1
    return code.reshape(-1)


def decode(softs: Softs, message_bits: int) -> Bits:
    """Return the most likely message, uint8 of length `message_bits`.

    Args:
        softs: float32 of length `code_length(message_bits)`, on any scale: above 0 where a 0 was
            more likely sent, below where a 1; 0 = unknown.
        message_bits: length of the message.
    """
    signs, pattern_of_even, pattern_of_odd = _trellis()
    gains = np.asarray(softs, np.float32).reshape(-1, len(GENERATORS)) @ signs
    steps = message_bits + MEMORY
    metric = np.full(_STATES, -np.inf, np.float32)
    metric[0] = 0
    from_odd = np.empty((steps, _STATES), np.bool_)
    for step in range(steps):
        even = np.tile(metric[0::2], 2) + gains[step][pattern_of_even]
        odd = np.tile(metric[1::2], 2) + gains[step][pattern_of_odd]
        np.greater(odd, even, out=from_odd[step])
        metric = np.maximum(even, odd)
    return _trace_back(from_odd)[:message_bits]


def _trace_back(from_odd: npt.NDArray[np.bool_]) -> Bits:
    """Return the bits along the best path that ends in state 0, the tail included."""
    bits = np.empty(len(from_odd), np.uint8)
    state = 0
    for step in range(len(from_odd) - 1, -1, -1):
        bits[step] = state >> (MEMORY - 1)
        state = (state << 1 | int(from_odd[step, state])) & (_STATES - 1)
    return bits


@cache
def _trellis() -> tuple[npt.NDArray[np.float32], Bits, Bits]:
    """Return the signs (3, 8) of output patterns, and the patterns by which states are reached.

    A state holds the last bits, the newest highest, so state s is reached from the even state
    2 s and the odd state 2 s + 1 (mod 2 ** MEMORY); the register before the shift is the same
    number without the modulus.
    """
    patterns = np.arange(1 << len(GENERATORS))
    places = np.arange(len(GENERATORS))
    signs = (1 - 2 * (patterns[None, :] >> places[:, None] & 1)).astype(np.float32)
    registers = np.arange(2 * _STATES)
    reached_by = np.zeros(registers.size, np.uint8)
    for place, generator in enumerate(GENERATORS):
        parity = np.bitwise_count(registers & generator) & 1
        reached_by |= (parity << place).astype(np.uint8)
    return signs, reached_by[0::2], reached_by[1::2]


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
