"""Damage files as an attacker or a bad disk would, step by step; hypothesis draws the steps."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from hypothesis import strategies as st

Step = tuple[str, int, int]  # its name, a place and a number; both are taken modulo what fits
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 2**32 - 1)


def _put(data: bytearray, at: int, number: int, layout: str) -> None:
    packed = struct.pack(layout, _NUMBERS[number % len(_NUMBERS)] % 256 ** struct.calcsize(layout))
    data[at : at + len(packed)] = packed


def _set_byte(data: bytearray, at: int, number: int) -> None:
    data[at] = number % 256


def _flip_bit(data: bytearray, at: int, number: int) -> None:
    data[at] ^= 1 << number % 8


def _remove(data: bytearray, at: int, number: int) -> None:
    del data[at : at + 1 + number % 64]


def _repeat(data: bytearray, at: int, number: int) -> None:
    data[at:at] = data[at : at + 1 + number % 64] * (1 + number % 5)


def _cut_off(data: bytearray, at: int, _number: int) -> None:
    del data[at:]


def _move(data: bytearray, at: int, number: int) -> None:
    other = number % len(data)
    data[at : at + 32], data[other : other + 32] = data[other : other + 32], data[at : at + 32]


STEPS: dict[str, Callable[[bytearray, int, int], None]] = {
    "set a byte": _set_byte,
    "flip a bit": _flip_bit,
    "big 16": lambda data, at, number: _put(data, at, number, ">H"),
    "little 16": lambda data, at, number: _put(data, at, number, "<H"),
    "big 32": lambda data, at, number: _put(data, at, number, ">I"),
    "little 32": lambda data, at, number: _put(data, at, number, "<I"),
    "remove": _remove,
    "repeat": _repeat,
    "cut off": _cut_off,
    "swap": _move,
}
# Half of the steps hit the first bytes, which say how large the picture is.
_PLACES = st.integers(0, 127) | st.integers(0, 65_535)
STEP = st.tuples(st.sampled_from(sorted(STEPS)), _PLACES, st.integers(0, 65_535))


def mutated(content: bytes, steps: list[Step], *, with_checksums: bool) -> bytes:
    """Return `content` after all steps; `with_checksums` mends those of PNG chunks, if any."""
    data = bytearray(content)
    for name, place, number in steps:
        if not data:
            break
        STEPS[name](data, place % len(data), number)
    if with_checksums and data.startswith(b"\x89PNG\r\n\x1a\n"):
        _mend_checksums(data)
    return bytes(data)


def _mend_checksums(data: bytearray) -> None:
    """Repair checksums: decoders stop at a wrong one, and would never reach the mutation."""
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            return
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
