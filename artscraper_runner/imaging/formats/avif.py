"""Read the properties of an AVIF's primary picture that Pillow does not report.

Boxes of ISO/IEC 14496-12 and 23008-12 (HEIF): clean aperture, CICP colour, gain maps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from mmap import mmap

Box = tuple[int, int, int, int]  # left, upper, right, lower in px
_MOST_BOXES = 10_000
_FULL_BOX = 4  # bytes of version and flags


@dataclass(frozen=True)
class AvifFile:
    """Properties of the primary item; `cicp` = primaries, transfer function (ITU-T H.273).

    `clean_aperture`: width, height, horizontal and vertical offset of the centre, in px.
    `exif_items`: the positions of the types of items with EXIF, for leaving them out.
    """

    cicp: tuple[int, int] | None = None
    clean_aperture: tuple[Fraction, Fraction, Fraction, Fraction] | None = None
    has_gain_map: bool = False
    exif_items: tuple[int, ...] = ()

    def visible_box(self, width: int, height: int) -> Box | None:
        """Return the crop of the clean aperture for a picture of this size; None: no crop."""
        if self.clean_aperture is None:
            return None
        across, down, right, below = self.clean_aperture
        left = (width - across) / 2 + right
        top = (height - down) / 2 + below
        box = (round(left), round(top), round(left + across), round(top + down))
        if not (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height):
            return None
        return None if box == (0, 0, width, height) else box


def read_avif(data: bytes | mmap) -> AvifFile:
    """Return the properties of the primary item, as far as they can be read."""
    file = AvifFile()
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"meta":
            file = _read_meta(data, start + _FULL_BOX, end)
            break
    return file


def _boxes(data: bytes | mmap, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of the content of each box between `at` and `end`."""
    for _ in range(_MOST_BOXES):
        if at + 8 > end:
            return
        size, kind, start = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], at + 8
        if size == 1:
            size, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        elif size == 0:
            size = end - at
        if size < start - at or at + size > end:
            return
        yield kind, start, at + size
        at += size


def _read_meta(data: bytes | mmap, start: int, end: int) -> AvifFile:
    file = AvifFile()
    primary = 0
    properties: list[tuple[bytes, int, int]] = []
    links: set[int] = set()
    for kind, first, _ in _boxes(data, start, end):
        if kind == b"pitm":
            primary = int.from_bytes(
                data[first + 4 : first + (6 if data[first] == 0 else 8)], "big"
            )
    for kind, first, last in _boxes(data, start, end):
        if kind == b"iinf":
            gain_map, exif = _item_kinds(data, first, last)
            file = replace(file, has_gain_map=gain_map, exif_items=exif)
        elif kind == b"iprp":
            for inner, begin, stop in _boxes(data, first, last):
                if inner == b"ipco":
                    properties = list(_boxes(data, begin, stop))
                elif inner == b"ipma":
                    links |= _links(data, begin, stop, primary)
    for index in links:
        if 1 <= index <= len(properties):
            file = _with_property(file, data, *properties[index - 1])
    return file


def _item_kinds(data: bytes | mmap, first: int, last: int) -> tuple[bool, tuple[int, ...]]:
    """Return whether there is a gain map, and the positions of the types of items with EXIF."""
    exif, gain_map = [], False
    at = first + _FULL_BOX + (2 if data[first] == 0 else 4)
    for kind, start, end in _boxes(data, at, last):
        if kind != b"infe" or end - start < 12:
            continue
        place = start + (8 if data[start] == 2 else 10)
        item = data[place : place + 4]
        gain_map = gain_map or item == b"tmap"
        if item == b"Exif":
            exif.append(place)
    return gain_map, tuple(exif)


def _links(data: bytes | mmap, at: int, end: int, item: int) -> set[int]:
    """Return the numbers, from 1, of the properties that belong to `item`."""
    version, long_index = data[at], bool(data[at + 3] & 1)
    count, at = int.from_bytes(data[at + 4 : at + 8], "big"), at + 8
    id_bytes = 2 if version == 0 else 4
    for _ in range(min(count, _MOST_BOXES)):
        if at + id_bytes >= end:
            break
        owner, entries = int.from_bytes(data[at : at + id_bytes], "big"), data[at + id_bytes]
        at += id_bytes + 1
        size = 2 if long_index else 1
        if owner == item:
            mask = 0x7FFF if long_index else 0x7F
            starts = range(at, at + size * entries, size)
            return {int.from_bytes(data[place : place + size], "big") & mask for place in starts}
        at += size * entries
    return set()


def _with_property(
    file: AvifFile, data: bytes | mmap, kind: bytes, start: int, end: int
) -> AvifFile:
    content = data[start:end]
    if kind == b"colr" and content[:4] == b"nclx" and len(content) >= 8:
        cicp = int.from_bytes(content[4:6], "big"), int.from_bytes(content[6:8], "big")
        return replace(file, cicp=cicp)
    if kind == b"clap" and len(content) >= 32:
        numbers = [
            int.from_bytes(content[place : place + 4], "big", signed=True)
            for place in range(0, 32, 4)
        ]
        if all(numbers[1::2]):
            width, height, right, below = (
                Fraction(numbers[index], numbers[index + 1]) for index in range(0, 8, 2)
            )
            return replace(file, clean_aperture=(width, height, right, below))
    return file
