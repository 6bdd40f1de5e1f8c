"""Read the structure of a JPEG (ITU-T T.81): its coding, its segments, and its end."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import islice
from mmap import mmap
from typing import Literal

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from artscraper_runner.imaging.formats.structure import jpeg_segments

EOI = b"\xff\xd9"
_SOS, _SOF2 = 0xDA, 0xC2
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_APPLICATION = range(0xE0, 0xF0)
# Segments that layers keep, or that have their own notes.
_KNOWN_SEGMENTS = (
    *(b"Exif\0", b"http://ns.adobe.com/xap/1.0/\0", b"Photoshop 3.0\0", b"Adobe", b"JP"),
    *(b"JFIF\0", b"JFXX\0", b"MPF\0", b"urn:iso:std:iso:ts:21496"),
)
_COEFFICIENTS = 64
_MP_ENTRIES = 0xB002
_FILLER_BYTES = 4096
_SEGMENTS_MAX = 5_000


@dataclass(frozen=True)
class JpegCoding:
    """The coding of the pixels: quantisation tables by number, each 64 divisors.

    `subsampling`: Pillow's 0 (4:4:4), 1 (4:2:2) or 2 (4:2:0), the nearest that it can write.
    """

    tables: tuple[tuple[int, ...], ...]
    subsampling: int
    progressive: bool


@dataclass(frozen=True)
class JpegFile:
    """The segments before the pixels."""

    further_pictures: int = 0  # of the Multi-Picture Format
    has_extended_xmp: bool = False
    has_small_picture: bool = False  # in the JFIF header
    has_profile: bool = False  # at least one part of an ICC profile
    other_segments: tuple[str, ...] = ()  # names of APP markers with what layers do not carry
    scans: tuple[tuple[tuple[int, ...], int, int, int], ...] = field(default=(), repr=False)
    components: tuple[int, ...] = ()
    is_progressive: bool = False


def read_jpeg(data: bytes | mmap) -> JpegFile:
    """Return the properties in the segments of a JPEG; `data` is the whole file."""
    pictures, extended, small, profile = 0, False, False, False
    scans: list[tuple[tuple[int, ...], int, int, int]] = []
    components: tuple[int, ...] = ()
    progressive = False
    others: set[int] = set()
    for marker, at, size in islice(jpeg_segments(data), _SEGMENTS_MAX):
        content = data[at + 2 : at + size]
        if marker in _FRAMES and len(content) > 6:
            progressive = marker == _SOF2
            components = tuple(content[6 : 6 + 3 * content[5] : 3])
        elif marker == _SOS and content:
            count = content[0]
            ids, tail = tuple(content[1 : 1 + 2 * count : 2]), content[1 + 2 * count :][:3]
            if len(tail) == 3:
                scans.append((ids, tail[0], tail[1], tail[2] & 15))
        elif marker == 0xE2 and content.startswith(b"MPF\0"):
            pictures = max(pictures, _count_mpf(content[4:]) - 1)
        elif marker == 0xE1 and content.startswith(b"http://ns.adobe.com/xmp/extension/\0"):
            extended = True
        elif marker == 0xE2 and content.startswith(b"ICC_PROFILE\0"):
            profile = True
        elif marker in _APPLICATION and not content.startswith(_KNOWN_SEGMENTS):
            others.add(marker - _APPLICATION[0])
        elif marker == 0xE0:
            small = small or content.startswith(b"JFXX\0")
            small = small or (
                content.startswith(b"JFIF\0") and content[12:14] not in (b"", b"\0\0")
            )
    names = tuple(f"APP{number}" for number in sorted(others))
    return JpegFile(
        pictures, extended, small, profile, names, tuple(scans), components, progressive
    )


def read_coding(image: Image.Image) -> JpegCoding | None:
    """Return the coding of a decoded JPEG; None of other formats, or without tables."""
    if not isinstance(image, JpegImageFile) or not image.quantization or not image.layer:
        return None
    tables_by_number = image.quantization
    first = image.layer[0]  # id, h, v, number of the table
    chroma = image.layer[1] if len(image.layer) > 1 else first
    numbers = [number for number in (first[3], chroma[3]) if number in tables_by_number]
    tables = tuple(tuple(tables_by_number[number]) for number in numbers)
    across, down = first[1] // max(1, chroma[1]), first[2] // max(1, chroma[2])
    subsampling = {1: 0, 2: 1}.get(across * down, 2)
    progressive = bool(image.info.get("progressive"))
    return JpegCoding(tables or ((1,) * _COEFFICIENTS,), subsampling, progressive)


def divided(coding: JpegCoding, divisor: float) -> JpegCoding:
    """Return a finer coding: all tables divided, and chroma of full resolution."""
    tables = tuple(
        tuple(max(1, round(value / divisor)) for value in table) for table in coding.tables
    )
    return replace(coding, tables=tables, subsampling=0)


def is_complete(data: bytes) -> bool:
    """Return whether a JPEG without its end marker holds every pixel.

    Every scan must be there; and what is put behind the last one must not change the picture,
    which it does where coded data is missing.
    """
    if not _scans_are_complete(read_jpeg(data)):
        return False
    filler = bytes(value for value in zlib.compress(bytes(range(256)) * 64, 0) if value != 0xFF)
    pixels = []
    for tail in (b"", filler[:_FILLER_BYTES]):
        with JpegImageFile(BytesIO(data + tail + EOI)) as image:
            image.load()
            pixels.append(image.tobytes())
    return pixels[0] == pixels[1]


def _scans_are_complete(file: JpegFile) -> bool:
    if not file.is_progressive:
        return {name for ids, *_ in file.scans for name in ids} >= set(file.components)
    precision = {
        (name, place): low
        for ids, first, last, low in file.scans
        for name in ids
        for place in range(first, min(last + 1, _COEFFICIENTS))
    }
    wanted = [(name, place) for name in file.components for place in range(_COEFFICIENTS)]
    return all(precision.get(each) == 0 for each in wanted)


def _count_mpf(block: bytes) -> int:
    """Return the number of pictures in an MPF index (CIPA DC-007), 0 if it cannot be read."""
    order: Literal["little", "big"] = "little" if block[:2] == b"II" else "big"
    at = int.from_bytes(block[4:8], order)
    count = int.from_bytes(block[at : at + 2], order)
    for place in range(at + 2, min(at + 2 + 12 * count, len(block) - 11), 12):
        if int.from_bytes(block[place : place + 2], order) == _MP_ENTRIES:
            # One entry of 16 bytes for each picture.
            return min(int.from_bytes(block[place + 4 : place + 8], order) // 16, 1000)
    return 0
