"""Read the colour profile of a BMP with a header of version 5 (Microsoft, BITMAPV5HEADER)."""

from __future__ import annotations

from mmap import mmap

SIGNATURE = b"BM"
_HEADER_AT, _V5_BYTES = 14, 124
_COLOUR_SPACE_AT, _PROFILE_AT = _HEADER_AT + 56, _HEADER_AT + 112
_EMBEDDED = b"DEBM"  # PROFILE_EMBEDDED; what version 4 calls calibrated no viewer applies
_PROFILE_MAX_BYTES = 4 << 20


def read_profile(data: bytes | mmap) -> bytes | None:
    """Return the ICC profile that is embedded in a BMP, None without one."""
    header_bytes = int.from_bytes(data[_HEADER_AT : _HEADER_AT + 4], "little")
    if header_bytes < _V5_BYTES or data[_COLOUR_SPACE_AT : _COLOUR_SPACE_AT + 4] != _EMBEDDED:
        return None
    offset = int.from_bytes(data[_PROFILE_AT : _PROFILE_AT + 4], "little")
    size = int.from_bytes(data[_PROFILE_AT + 4 : _PROFILE_AT + 8], "little")
    return data[_HEADER_AT + offset : _HEADER_AT + offset + min(size, _PROFILE_MAX_BYTES)] or None
