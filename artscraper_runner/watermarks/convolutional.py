"""The convolutional code of the tiled watermark, and how it is decoded.

Zero-terminated, constraint length 11, rate 1/3, with the generators of Larsen, "Short convolutional
codes with maximal free distance for rates 1/2, 1/3, and 1/4" (IEEE Trans. Inf. Theory 19(3), 1973):
free distance 22. `decode` is the algorithm of Viterbi (1967) on soft values, which gains about 2 dB
over hard decisions and takes erasures as zeros.

Example: 11 message bits become (11 + 10) * 3 = 63 code bits; with any 20 of them erased and the
others right, `decode` still returns the 11 bits.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from functools import cache
from itertools import count

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint8]
Softs = npt.NDArray[np.float32]

GENERATORS = (0o2353, 0o2671, 0o3175)
MEMORY = 10  # bits; the constraint length less the newest bit
_STATES = 1 << MEMORY
_IMPOSSIBLE = np.float32(-1e30)  # metric of a state that nothing leads to


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
    from_odd, _ = _ways_into_states(softs, message_bits)
    bits = np.empty(len(from_odd), np.uint8)
    state = 0
    for step in range(len(from_odd) - 1, -1, -1):
        bits[step] = state >> (MEMORY - 1)
        state = (state << 1 | int(from_odd[step, state])) & (_STATES - 1)
    return bits[:message_bits]


def likeliest_messages(softs: Softs, message_bits: int, *, most: int) -> Iterator[Bits]:
    """Yield at most `most` messages, the likeliest first; arguments as for `decode`.

    The serial algorithm of Seshadri & Sundberg, "List Viterbi decoding algorithms with
    applications" (IEEE Trans. Communications 42(2-4), 1994): each message is the best path that,
    going backwards, leaves one already found.
    """
    arrays = _ways_into_states(softs, message_bits)
    from_odd, losses = (array.tolist() for array in arrays)
    order = count()  # no path is compared by its steps
    # What a path loses to the likeliest one, the steps left, the state behind them, later bits.
    waiting = [(0.0, next(order), len(from_odd), 0, 0)]
    least = [float(_IMPOSSIBLE) / 2] * most  # the least losses that wait, negative: a heap
    for _ in range(most):
        if not waiting:
            return
        loss, _, left, state, bits = heapq.heappop(waiting)
        for step in range(left - 1, -1, -1):
            bits |= state >> (MEMORY - 1) << step
            likelier = from_odd[step][state]
            detour = loss + losses[step][state]
            if detour < -least[0]:
                heapq.heapreplace(least, -detour)
                other = (state << 1 | (not likelier)) & (_STATES - 1)
                heapq.heappush(waiting, (detour, next(order), step, other, bits))
            state = (state << 1 | likelier) & (_STATES - 1)
        yield _unpacked(bits, message_bits)


def _unpacked(bits: int, length: int) -> Bits:
    """Return the lowest `length` bits of a number, the lowest first."""
    content = np.frombuffer(bits.to_bytes((length + MEMORY) // 8 + 1, "little"), np.uint8)
    return np.unpackbits(content, bitorder="little")[:length]


def _ways_into_states(softs: Softs, message_bits: int) -> tuple[npt.NDArray[np.bool_], Softs]:
    """Return for each step and state, (n, states), whether the odd of the two ways in is likelier.

    And by how much; about -_IMPOSSIBLE where the other way cannot be.
    """
    signs, pattern_of_even, pattern_of_odd = _trellis()
    gains = np.asarray(softs, np.float32).reshape(-1, len(GENERATORS)) @ signs
    metric = np.full(_STATES, _IMPOSSIBLE, np.float32)
    metric[0] = 0
    ahead = np.empty((message_bits + MEMORY, _STATES), np.float32)
    for step in range(len(ahead)):
        even = np.tile(metric[0::2], 2) + gains[step][pattern_of_even]
        odd = np.tile(metric[1::2], 2) + gains[step][pattern_of_odd]
        np.subtract(odd, even, out=ahead[step])
        metric = np.maximum(even, odd)
    return ahead > 0, np.abs(ahead)


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
