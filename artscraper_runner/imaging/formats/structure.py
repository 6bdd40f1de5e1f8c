"""Bound the number of parts in a picture file, without decoding it.

Pillow reads chunks, segments and directories one by one in Python: a file of 50 MB made of empty
ones takes minutes, or all memory, before the size of the picture is known. The functions here skip
from part to part and stop at `MAX_PARTS`. They also count the frames of a GIF, which Pillow does
by decoding them.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from PIL import Image

from artscraper_runner.errors import BrokenPicture

# 50 MiB of full GIF sub-blocks are 205,604; real files of other formats have fewer than 1,000.
MAX_PARTS = 300_000
_PNG_PARTS_BEFORE_PIXELS = 10_000
_JPEG_SCANS = 64  # progressive files have about ten; each takes 50 ms at 48 megapixels
_JPEG_END = 0xD9
_JPEG_WITHOUT_LENGTH = (_JPEG_END, 0xD8, 0x01)  # and SOI and TEM
# In coded data zero, a restart marker or another 0xFF follows 0xFF.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

Size = tuple[int, int]  # width, height in px


def check_structure(path: Path) -> None:
    """Check that a file has no more parts than real pictures have.

    Raises:
        BrokenPicture: it has more.
    """
    if path.stat().st_size < 16:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] == b"GIF8":
            walk_gif(data)
        elif data[:8] == b"\x89PNG\r\n\x1a\n":
            _check_png_chunks(data)
        elif data[:3] == b"\xff\xd8\xff":
            walk_jpeg(data)
        elif data[:4] in (b"II*\0", b"MM\0*"):
            _check_tiff_entries(data, first=4, offset_bytes=4, count_bytes=2)
        elif data[:4] in (b"II+\0", b"MM\0+"):
            _check_tiff_entries(data, first=8, offset_bytes=8, count_bytes=8)


def frame_sizes(image: Image.Image, path: Path) -> Iterator[Size]:
    """Yield the size of each frame of `image`, opened from `path`, without decoding it.

    The caller can stop early.
    """
    if image.format == "GIF":
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            count, _ = walk_gif(data)
    elif image.format in ("TIFF", "MPO"):
        yield from _frames_by_seeking(image)
        return
    else:  # the headers of PNG, WebP and AVIF contain the number of frames, which share a canvas
        count = getattr(image, "n_frames", 1)
    for _ in range(count):
        yield image.size


def _frames_by_seeking(image: Image.Image) -> Iterator[Size]:
    index = 0
    while True:
        try:
            image.seek(index)
        except EOFError:
            break
        yield image.size
        index += 1
    image.seek(0)


def png_chunks(data: mmap.mmap | bytes, at: int = 8) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, offset and bytes of content of each chunk of a PNG (ISO/IEC 15948) up to IEND."""
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        yield kind, at, size
        at += 12 + size
        if kind == b"IEND":
            return


def _check_png_chunks(data: mmap.mmap) -> None:
    """Check the number of chunks, of which few come before the pixels."""
    limit = _PNG_PARTS_BEFORE_PIXELS
    for parts, (kind, _, _) in enumerate(png_chunks(data), start=1):
        if kind == b"IDAT":
            limit = MAX_PARTS
        if parts > limit and kind != b"IEND":
            raise BrokenPicture(f"expected at most {limit} PNG chunks, found more")


def jpeg_segments(data: mmap.mmap | bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, the offset behind it and bytes of each segment of a JPEG (ITU-T T.81).

    The end marker is the last; it and others without a length have 0 bytes. Between segments
    decoders skip to the next marker, as they do behind coded data.
    """
    at = 2
    while (match := _JPEG_MARKER.search(data, at)) is not None:
        at, marker = match.end(), data[match.end() - 1]
        size = 0 if marker in _JPEG_WITHOUT_LENGTH else int.from_bytes(data[at : at + 2], "big")
        yield marker, at, size
        if marker == _JPEG_END:
            return
        at += size


def walk_jpeg(data: mmap.mmap | bytes) -> int | None:
    """Return the offset behind the end marker of a JPEG, None without one.

    The number of scans is bounded, too: a decoder visits all pixels for each, however short it is.

    Raises:
        BrokenPicture: more than `MAX_PARTS` segments or `_JPEG_SCANS` scans.
    """
    scans = 0
    for parts, (marker, at, _) in enumerate(jpeg_segments(data), start=1):
        if marker == _JPEG_END:
            return at
        scans += marker == 0xDA
        if scans > _JPEG_SCANS:
            raise BrokenPicture(f"expected at most {_JPEG_SCANS} JPEG scans, found more")
        if parts == MAX_PARTS:
            raise BrokenPicture(f"expected at most {MAX_PARTS} JPEG segments, found more")
    return None


def _check_tiff_entries(
    data: mmap.mmap, *, first: int, offset_bytes: int, count_bytes: int
) -> None:
    """TIFF 6.0, BigTIFF: directories of entries, each pointing at the next; loops count up too.

    `first` is the position of the offset of the first directory.
    """
    order: Literal["little", "big"] = "little" if data[:1] == b"I" else "big"
    entry_bytes = 4 + 2 * offset_bytes
    at, entries = int.from_bytes(data[first : first + offset_bytes], order), 0
    while 0 < at <= len(data) - count_bytes:
        count = int.from_bytes(data[at : at + count_bytes], order)
        entries += count + 1
        if entries > MAX_PARTS:
            raise BrokenPicture(f"expected at most {MAX_PARTS} TIFF entries, found more")
        at += count_bytes + entry_bytes * count
        at = int.from_bytes(data[at : at + offset_bytes], order)


def walk_gif(data: mmap.mmap | bytes) -> tuple[int, int]:
    """Return the number of frames of a GIF89a (CompuServe 1990), and the offset behind the last.

    Extensions and frames are each followed by sub-blocks.

    Raises:
        BrokenPicture: more than `MAX_PARTS` extensions, frames and sub-blocks.
    """
    at = 13 + _colour_table_bytes(data[10])
    frames = parts = 0
    while at < len(data) and data[at] in b"!,":
        parts += 1
        if data[at] == ord(","):
            frames += 1
            at += 11 + (_colour_table_bytes(data[at + 9]) if at + 9 < len(data) else 0)
        else:
            at += 2
        while at < len(data) and (size := data[at]):
            parts += 1
            at += 1 + size
            if parts > MAX_PARTS:
                break
        if parts > MAX_PARTS:
            raise BrokenPicture(f"expected at most {MAX_PARTS} GIF blocks, found more")
        at += 1
    return frames, at


def _colour_table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
