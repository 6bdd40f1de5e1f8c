"""Bytes behind the end of a picture, where anything can be carried without changing a pixel.

Walks over the file's parts without decoding any; linear in the file's size, with a bound on the
number of parts. TIFF has no end: its parts may lie anywhere, so there is nothing behind it.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from artscraper_runner.errors import BrokenPicture
from artscraper_runner.imaging.formats.structure import MAX_PARTS, png_chunks, walk_gif, walk_jpeg

Data = mmap.mmap | bytes

_NOT_ZERO = re.compile(rb"[^\x00]")
_BOXES = frozenset(
    b"ftyp meta mdat moov moof mfra free skip uuid sidx jumb emsg styp pdin idat wide".split()
)
_KINDS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"\x1f\x8b", "gzip data"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x7fELF", "a program (ELF)"),
    (0, b"MZ", "a program (PE)"),
    (4, b"ftyp", "a video or another ISO media file"),
    (0, b"RIFF", "a RIFF file"),
)


@dataclass(frozen=True)
class TrailingBytes:
    """The data behind the picture's end: `size` in bytes, and what kind of file it begins like."""

    size: int
    kind: str


def find_trailing_bytes(path: Path, format_name: str) -> TrailingBytes | None:
    """Return the data behind the end of the picture at `path`; size 0 if none.

    `format_name` is one of `imaging.formats.container.FORMATS`. None if the end is unknown: TIFF, a
    truncated file, or one of more parts than any real picture has.
    """
    walk = _WALKS.get(format_name)
    if walk is None or path.stat().st_size < 16:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            end = walk(data)
        except BrokenPicture:
            end = None
        if end is None or end > len(data):
            return None
        return TrailingBytes(len(data) - end, _kind(data, end))


def _kind(data: Data, end: int) -> str:
    if end == len(data):
        return "nothing"
    for offset, magic, kind in _KINDS:
        if data[end + offset : end + offset + len(magic)] == magic:
            return kind
    return "unknown data" if _NOT_ZERO.search(data, end) else "zeros"


def _png_end(data: Data) -> int | None:
    """PNG: the end of IEND."""
    for kind, at, size in islice(png_chunks(data), MAX_PARTS):
        if kind == b"IEND":
            return at + 12 + size
    return None


def _riff_end(data: Data) -> int | None:
    """RIFF (WebP): the size is in the header; odd sizes are padded."""
    size = int.from_bytes(data[4:8], "little")
    return min(8 + size + size % 2, len(data)) if 8 + size <= len(data) else None


def _gif_end(data: Data) -> int | None:
    """GIF89a: extensions and frames up to the trailer, a semicolon."""
    _, at = walk_gif(data)
    return at + 1 if data[at : at + 1] == b";" else None


def _bmp_end(data: Data) -> int | None:
    """BMP: the size is in the header; some writers leave it zero."""
    size = int.from_bytes(data[2:6], "little")
    return size if size > 26 else None


def _avif_end(data: Data) -> int | None:
    """ISO base media (ISO/IEC 14496-12): boxes of known types, one after the other."""
    at = 0
    for _ in range(MAX_PARTS):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind not in _BOXES:
            return at
        if size == 0:
            return len(data)
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:
            return None
        at += size
    return None


_WALKS: dict[str, Callable[[Data], int | None]] = {
    "PNG": _png_end,
    "JPEG": walk_jpeg,
    "WEBP": _riff_end,
    "GIF": _gif_end,
    "BMP": _bmp_end,
    "AVIF": _avif_end,
}
