"""Read how the first picture of a TIFF 6.0 or BigTIFF is stored, where Pillow errs or is silent."""

from __future__ import annotations

from dataclasses import dataclass
from mmap import mmap
from typing import Literal

from PIL import ImageFile

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _FORMAT = 258, 259, 262, 277, 284, 339
_MIN_IS_WHITE, _SEPARATE = 0, 2
_ENTRIES_MAX = 1_000
_SIZES = {1: 1, 3: 2, 4: 4, 16: 8}  # bytes of the whole-number types BYTE, SHORT, LONG, LONG8
_PHOTOMETRIC_NAMES = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "LAB"}
_FORMAT_NAMES = {1: "unsigned", 2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}


@dataclass(frozen=True)
class TiffFile:
    """The fields that say how pixels are stored, with the standard's defaults.

    `photometric_at` is the position of PhotometricInterpretation's value, None if it is missing.
    """

    order: Literal["little", "big"]
    bits: int
    samples: int
    photometric: int
    planar: bool
    compression: int
    sample_format: int
    photometric_at: int | None

    @property
    def min_is_white(self) -> bool:
        """Whether 16-bit grey grows darker: Pillow reverses such samples up to 8 bits only."""
        return self.photometric == _MIN_IS_WHITE and self.bits > 8 and self.samples == 1

    @property
    def description(self) -> str:
        """The storage in words, for refusals."""
        kind = _PHOTOMETRIC_NAMES.get(self.photometric, f"photometric {self.photometric}")
        sample = _FORMAT_NAMES.get(self.sample_format, "unknown")
        return (
            f"{self.samples} x {self.bits} bits, {sample}, {kind}, compression {self.compression}"
        )


def read_tiff(data: bytes | mmap) -> TiffFile | None:
    """Return the storage fields of the first directory, None if it cannot be read."""
    order: Literal["little", "big"] = "little" if data[:1] == b"I" else "big"
    big = data[2:4] in (b"+\0", b"\0+")
    offset_bytes, count_bytes = (8, 8) if big else (4, 2)
    first = 8 if big else 4
    at = int.from_bytes(data[first : first + offset_bytes], order)
    count = int.from_bytes(data[at : at + count_bytes], order)
    if not 0 < count <= _ENTRIES_MAX or at + count_bytes > len(data):
        return None
    entry_bytes = 4 + 2 * offset_bytes
    values: dict[int, int] = {}
    places: dict[int, int] = {}
    for index in range(count):
        entry = at + count_bytes + entry_bytes * index
        tag = int.from_bytes(data[entry : entry + 2], order)
        size = _SIZES.get(int.from_bytes(data[entry + 2 : entry + 4], order))
        if size is None or tag in values:
            continue
        number = int.from_bytes(data[entry + 4 : entry + 4 + offset_bytes], order)
        place = entry + 4 + offset_bytes
        if number * size > offset_bytes:
            place = int.from_bytes(data[place : place + offset_bytes], order)
        values[tag] = int.from_bytes(data[place : place + size], order)
        places[tag] = place
    return TiffFile(
        order,
        values.get(_BITS, 1),
        values.get(_SAMPLES, 1),
        values.get(_PHOTOMETRIC, 0),
        values.get(_PLANAR, 1) == _SEPARATE,
        values.get(_COMPRESSION, 1),
        values.get(_FORMAT, 1),
        places.get(_PHOTOMETRIC),
    )


def as_black_is_zero(data: bytes | mmap, file: TiffFile) -> bytes | None:
    """Return a copy of the file declared as BlackIsZero, the only 16-bit grey that Pillow reads.

    The caller reverses the samples. None if there is no need or no way.
    """
    if not file.min_is_white or file.photometric_at is None:
        return None
    copy = bytearray(data[:])
    copy[file.photometric_at : file.photometric_at + 2] = (1).to_bytes(2, file.order)
    return bytes(copy)


def read_wide_planes(image: ImageFile.ImageFile, file: TiffFile) -> None:
    """Let Pillow read uncompressed 16-bit planes as 16 bits; it takes each for one of 8."""
    if not (file.planar and file.bits == 16):
        return
    suffix = ";16L" if file.order == "little" else ";16B"
    tiles = []
    for tile in image.tile:
        args = tile.args
        if tile.codec_name == "raw" and isinstance(args, tuple) and args[0] in tuple("RGBA"):
            tiles.append(tile._replace(args=(f"{args[0]}{suffix}", *args[1:])))
        else:
            tiles.append(tile)
    image.tile = tiles
