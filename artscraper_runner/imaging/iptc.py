"""Carry IPTC-IIM fields over: captions, creators, rights and keywords, never pictures.

Sources: IPTC-NAA Information Interchange Model 4.2; Adobe, Photoshop File Formats (image resource
blocks).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from artscraper_runner.imaging.formats.embedded import holds_picture

RESOURCE = 0x0404
TIFF_TAG = 33_723
PNG_KEY = "Raw profile type iptc"
_PHOTOSHOP = b"Photoshop 3.0\0"
_KEPT_RESOURCES = (RESOURCE, 0x040A, 0x040B)  # IPTC, copyright flag, URL
_MARKER = 0x1C
_KEPT_RECORDS = (1, 2)  # envelope and application; 7 to 9 hold an object, which may be a picture
_PREVIEW_FIELDS = (200, 201, 202)  # of record 2: a small copy of the picture and its format
_SEGMENT_MAX_BYTES = 65_533 - len(_PHOTOSHOP)
_MAX_FIELDS = 10_000


def read_iptc(info: Mapping[Any, Any], exif: Mapping[int, Any]) -> bytes | None:
    """Return the IPTC block of a picture that Pillow opened, wherever its format keeps it."""
    photoshop = info.get("photoshop")
    if isinstance(photoshop, Mapping) and isinstance(block := photoshop.get(RESOURCE), bytes):
        return block
    if isinstance(block := exif.get(TIFF_TAG), bytes):
        return block
    if isinstance(text := info.get(PNG_KEY), str):
        return _from_png_text(text)
    return None


def strip_iptc(block: bytes) -> bytes | None:
    """Return the fields without pictures, None if they are missing or unreadable."""
    kept, at = [], 0
    for _ in range(_MAX_FIELDS):
        if at + 5 > len(block) or block[at] != _MARKER:
            break
        record, field, size = block[at + 1], block[at + 2], int.from_bytes(block[at + 3 : at + 5])
        end = at + 5 + size
        if size & 0x8000 or end > len(block):  # extended sizes are for objects
            break
        is_preview = record == 2 and field in _PREVIEW_FIELDS
        if record in _KEPT_RECORDS and not is_preview and not holds_picture(block[at + 5 : end]):
            kept.append(block[at:end])
        at = end
    return b"".join(kept) or None


def has_preview(block: bytes) -> bool:
    """Return whether the block holds more than `strip_iptc` keeps: a preview, or an object."""
    return len(strip_iptc(block) or b"") < len(block.rstrip(b"\0"))


def jpeg_segment(info: Mapping[Any, Any], block: bytes | None) -> bytes | None:
    """Return the marker segment APP13 with the resources about rights, None without any."""
    photoshop = info.get("photoshop")
    resources = dict(photoshop) if isinstance(photoshop, Mapping) else {}
    if block is not None:
        resources[RESOURCE] = block
    else:
        resources.pop(RESOURCE, None)
    content = b""
    for number in _KEPT_RESOURCES:
        value = resources.get(number)
        if isinstance(value, bytes) and value:
            content += b"8BIM" + number.to_bytes(2, "big") + b"\0\0" + len(value).to_bytes(4, "big")
            content += value + b"\0" * (len(value) % 2)
    if not content or len(content) > _SEGMENT_MAX_BYTES:
        return None
    size = 2 + len(_PHOTOSHOP) + len(content)
    return b"\xff\xed" + size.to_bytes(2, "big") + _PHOTOSHOP + content


def png_text(block: bytes) -> str:
    """Return the text under `PNG_KEY` as ImageMagick writes it: name, length, hexadecimal."""
    digits = block.hex()
    lines = [digits[place : place + 72] for place in range(0, len(digits), 72)]
    return "\niptc\n" + f"{len(block):8d}\n" + "\n".join(lines) + "\n"


def _from_png_text(text: str) -> bytes | None:
    parts = text.split()
    try:
        block = bytes.fromhex("".join(parts[2:]))
    except ValueError:
        return None
    if block.startswith(b"8BIM"):  # ImageMagick wraps the block into a resource
        start = block.find(bytes((_MARKER,)))
        block = block[start:] if start >= 0 else b""
    return block or None
