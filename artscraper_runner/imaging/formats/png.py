"""Read PNG chunks (W3C PNG, third edition) and leave out damaged ancillary ones before decoding.

Viewers ignore an ancillary chunk that is damaged; Pillow refuses the whole picture. A file with
such chunks is copied in memory without them, and each is noted.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from mmap import mmap

from PIL import ImageFile

from artscraper_runner.errors import BrokenPicture
from artscraper_runner.imaging.formats.structure import png_chunks
from artscraper_runner.imaging.notes import Note, Subject

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_BYTES = 33  # with the signature
# They say how the samples are meant; a PNG layer carries them as they were.
COLOUR_CHUNKS = (b"cICP", b"sRGB", b"gAMA", b"cHRM")
# Hints on display, and chunks that are kept or noted elsewhere.
_STANDARD_CHUNKS = (b"bKGD", b"hIST", b"pHYs", b"sBIT", b"sPLT", b"tIME", b"caBX", b"fcTL", b"fdAT")
_RGB_TYPE, _PALETTE_TYPE = 2, 3
_TRANSPARENCY_BYTES = {0: 2, 2: 6}  # by colour type
_EXACT_BYTES = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"pHYs": 9, b"tIME": 7}
_INFLATED_MAX_BYTES = 1 << 20  # what Pillow inflates of one chunk
_TEXT_TOTAL_MAX_BYTES = 32 << 20
_COMPRESSED_CHUNKS_MAX = 32  # each of which is inflated to be checked
_SUBJECTS = {
    b"iCCP": Subject.COLOUR_PROFILE,
    b"tRNS": Subject.ALPHA,
    b"eXIf": Subject.EXIF,
    b"acTL": Subject.ANIMATION,
    **dict.fromkeys(COLOUR_CHUNKS, Subject.COLOUR_PROFILE),
    **dict.fromkeys((b"tEXt", b"zTXt", b"iTXt"), Subject.TEXT),
}


@dataclass(frozen=True)
class PngFile:
    """The part before the pixels: `chunks` has the first of each ancillary type.

    `repaired` is the file without damaged ancillary chunks, None if it has none.
    """

    colour_type: int
    bit_depth: int
    chunks: Mapping[bytes, bytes]
    repaired: bytes | None
    notes: tuple[Note, ...]

    @property
    def colour_chunks(self) -> tuple[tuple[bytes, bytes], ...]:
        """The chunks of `COLOUR_CHUNKS` that the file has; a profile overrides all but cICP."""
        if b"iCCP" in self.chunks and b"cICP" not in self.chunks:
            return ()
        return tuple((kind, self.chunks[kind]) for kind in COLOUR_CHUNKS if kind in self.chunks)

    @property
    def private_chunks(self) -> tuple[str, ...]:
        """The types of chunks that other programs keep in the file, before the pixels."""
        known = (*COLOUR_CHUNKS, *_STANDARD_CHUNKS, *_SUBJECTS)
        kinds = sorted(kind for kind in self.chunks if kind[:1].islower() and kind not in known)
        return tuple(kind.decode("ascii", errors="replace") for kind in kinds)

    @property
    def transparent_sample(self) -> int | None:
        """The grey of tRNS in the 8 bits that Pillow decodes to, None if Pillow reads it correctly.

        It takes the sample of 2 or 4 bits as it is in the file.
        """
        if self.colour_type == 0 and self.bit_depth in (2, 4) and (samples := self._key):
            return samples[0] * {2: 85, 4: 17}[self.bit_depth] & 255
        return None

    @property
    def wide_transparent_colour(self) -> tuple[int, int, int] | None:
        """The colour of tRNS in 16 bits, of which Pillow compares the high bytes alone."""
        if self.colour_type == _RGB_TYPE and self.bit_depth == 16 and len(self._key) >= 3:
            red, green, blue = self._key[:3]
            return red, green, blue
        return None

    @property
    def _key(self) -> list[int]:
        content = self.chunks.get(b"tRNS", b"")
        return [int.from_bytes(content[at : at + 2], "big") for at in range(0, len(content), 2)]


def read_png(data: bytes | mmap) -> PngFile:
    """Return the properties in the chunks of a PNG; `data` is the whole file.

    Raises:
        BrokenPicture: the header is missing, or a palette picture has no palette.
    """
    if len(data) < _HEADER_BYTES or data[12:16] != b"IHDR":
        raise BrokenPicture("expected the PNG header IHDR as the first chunk, found none")
    colour_type, bit_depth = data[25], data[24]
    kept: list[bytes | slice] = [slice(0, _HEADER_BYTES)]
    chunks: dict[bytes, bytes] = {}
    notes: list[Note] = []
    before_pixels, text_bytes, compressed = True, 0, 0
    for kind, content, whole, crc_matches in _chunks(data):
        before_pixels = before_pixels and kind != b"IDAT"
        if not kind[:1].islower():
            if kind == b"IDAT" and colour_type == _PALETTE_TYPE and b"PLTE" not in chunks:
                raise BrokenPicture(
                    "expected the palette (PLTE) before the pixels of this PNG, found none"
                )
            chunks.setdefault(kind, content if kind == b"PLTE" else b"")
            kept.append(whole)
            continue
        reason = "" if crc_matches else "its checksum is wrong"
        compressed += _packed_part(kind, content) is not None
        if compressed > _COMPRESSED_CHUNKS_MAX:
            reason = f"expected at most {_COMPRESSED_CHUNKS_MAX} such chunks"
        usable, reason = (None, reason) if reason else _usable(kind, content, colour_type, chunks)
        text_bytes += len(content) if kind in (b"tEXt", b"zTXt", b"iTXt") else 0
        if text_bytes > _TEXT_TOTAL_MAX_BYTES:
            usable, reason = None, f"the text chunks exceed {_TEXT_TOTAL_MAX_BYTES} bytes"
        if usable is None or reason:
            subject = _SUBJECTS.get(kind, Subject.STRUCTURE)
            shown = kind.decode("ascii", errors="replace")
            notes.append(Note.dropped(subject, f"The chunk {shown} is ignored: {reason}."))
        if usable is not None:
            kept.append(whole if usable is content else _chunk(kind, usable))
            if before_pixels:
                chunks.setdefault(kind, usable)
    repaired = None
    if notes:
        repaired = b"".join(data[part] if isinstance(part, slice) else part for part in kept)
    return PngFile(colour_type, bit_depth, chunks, repaired, tuple(dict.fromkeys(notes)))


def read_low_bytes(image: ImageFile.ImageFile) -> None:
    """Let Pillow decode the low byte of each of 16 bits instead of the high one.

    Its name for samples in the other byte order does that.
    """
    image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]


def _chunks(data: bytes | mmap) -> Iterator[tuple[bytes, bytes, slice, bool]]:
    """Yield type, content, place and whether the checksum matches (of ancillary chunks)."""
    for kind, at, size in png_chunks(data, _HEADER_BYTES):
        ancillary = kind[:1].islower()
        content = data[at + 8 : at + 8 + size] if ancillary or kind == b"PLTE" else b""
        crc = int.from_bytes(data[at + 8 + size : at + 12 + size], "big")
        matches = not ancillary or zlib.crc32(content, zlib.crc32(kind)) == crc
        yield kind, content, slice(at, at + 12 + size), matches


def _chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(content, zlib.crc32(kind))
    return len(content).to_bytes(4, "big") + kind + content + crc.to_bytes(4, "big")


def _usable(
    kind: bytes, content: bytes, colour_type: int, chunks: Mapping[bytes, bytes]
) -> tuple[bytes | None, str]:
    """Return the usable data of an ancillary chunk or None, and its problem."""
    if (size := _EXACT_BYTES.get(kind)) is not None and len(content) != size:
        return None, f"expected {size} bytes, found {len(content)}"
    if kind == b"tRNS":
        return _usable_transparency(content, colour_type, chunks.get(b"PLTE", b""))
    if kind == b"gAMA" and not int.from_bytes(content, "big"):
        return None, "a gamma of 0"
    packed = _packed_part(kind, content)
    if packed is None:
        return (None, "it holds no colour profile") if kind == b"iCCP" else (content, "")
    return _inflated(content, packed)


def _packed_part(kind: bytes, content: bytes) -> bytes | None:
    """Return the compressed data of a chunk; None if it has none, or its name is invalid."""
    name, _, rest = content.partition(b"\0")
    if kind == b"iCCP":
        return rest[1:] if 1 <= len(name) <= 79 and rest[:1] == b"\0" else None
    if kind == b"zTXt":
        return rest[1:]
    if kind == b"iTXt" and rest[:1] == b"\1":
        return rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    return None


def _usable_transparency(
    content: bytes, colour_type: int, palette: bytes
) -> tuple[bytes | None, str]:
    if colour_type == _PALETTE_TYPE:
        most = len(palette) // 3
        if len(content) > most:
            return content[:most], f"expected at most {most} entries, found {len(content)}"
        return content, ""
    size = _TRANSPARENCY_BYTES.get(colour_type)
    if size is None:
        return None, "the picture has an alpha channel"
    if len(content) < size:
        return None, f"expected {size} bytes, found {len(content)}"
    return content, ""


def _inflated(content: bytes, packed: bytes) -> tuple[bytes | None, str]:
    stream = zlib.decompressobj()
    try:
        stream.decompress(packed, _INFLATED_MAX_BYTES)
    except zlib.error:
        return None, "it cannot be decompressed"
    if stream.unconsumed_tail:
        return None, f"decompressed it exceeds {_INFLATED_MAX_BYTES} bytes"
    if not stream.eof:
        return None, "it is cut off"
    return content, ""
