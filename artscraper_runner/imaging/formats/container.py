"""Identify a picture file by its content and open it without the damage that viewers ignore."""

from __future__ import annotations

import mmap
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from artscraper_runner.errors import BrokenPicture, UnsupportedPicture, UnsupportedVariant
from artscraper_runner.imaging.formats import avif, jpeg, png, tiff
from artscraper_runner.imaging.formats.structure import check_structure, walk_jpeg
from artscraper_runner.imaging.notes import Note, Subject

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF")
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_BMP_SIGNATURE = b"BM"
_BMP_HEADER_AT, _BMP_V5_BYTES = 14, 124
_BMP_PROFILE_MAX_BYTES = 4 << 20
_AVIF_BRANDS = (b"ftypavif", b"ftypavis")
_SIGNATURES = (_JPEG_SIGNATURE, png.SIGNATURE, b"RIFF", *tiff.SIGNATURES, b"GIF8", _BMP_SIGNATURE)
# What damaged files make Pillow raise, by trying 10,000 mutated ones.
DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    OverflowError,
    ZeroDivisionError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True)
class Container:
    """The declarations of the file beside its pixels, by format; None for other formats."""

    png: png.PngFile | None = None
    jpeg: jpeg.JpegFile | None = None
    avif: avif.AvifFile | None = None
    tiff: tiff.TiffFile | None = None
    bmp_profile: bytes | None = None
    notes: tuple[Note, ...] = ()


@contextmanager
def open_container(
    path: Path, *, repair: bool = False
) -> Iterator[tuple[ImageFile.ImageFile, Container]]:
    """Open the file at `path`, without the damage that viewers ignore.

    `repair`: also try what needs decoding, an end marker that a JPEG lacks.
    """
    check_structure(path)
    with path.open("rb") as file:
        start = file.read(16)
        if not start:
            raise UnsupportedPicture("expected a picture, found zero bytes")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            container, whole = _read_container(start, data, repair=repair)
            try:
                image = _identify(path if whole is None else BytesIO(whole), container)
            except DECODER_ERRORS as error:
                if container.avif is None or not container.avif.exif_items:
                    raise _why_unreadable(start, container, error) from error
                image, container = _identify_without_exif(data, container)
            with image:
                yield image, container


def _read_container(
    start: bytes, data: mmap.mmap, *, repair: bool
) -> tuple[Container, bytes | None]:
    """Return the declarations of the file, and its content if that had to be repaired."""
    repaired = None
    container = Container()
    if start.startswith(png.SIGNATURE):
        file = png.read_png(data)
        container, repaired = Container(png=file, notes=file.notes), file.repaired
    elif start.startswith(_JPEG_SIGNATURE):
        container = Container(jpeg=jpeg.read_jpeg(data))
        if repair and walk_jpeg(data) is None:
            container, repaired = _with_end(container, data)
    elif start[4:12] in _AVIF_BRANDS:
        container = Container(avif=avif.read_avif(data))
    elif start.startswith(tiff.SIGNATURES) and (storage := tiff.read_tiff(data)) is not None:
        container, repaired = Container(tiff=storage), tiff.as_black_is_zero(data, storage)
    elif start.startswith(_BMP_SIGNATURE):
        container = Container(bmp_profile=_bmp_profile(data))
    return container, repaired


def _bmp_profile(data: mmap.mmap) -> bytes | None:
    """Return the ICC profile of a BMP with Microsoft's BITMAPV5HEADER, None without one.

    What version 4 calls calibrated no viewer applies.
    """
    header = data[_BMP_HEADER_AT : _BMP_HEADER_AT + _BMP_V5_BYTES]
    if len(header) < _BMP_V5_BYTES or int.from_bytes(header[:4], "little") < _BMP_V5_BYTES:
        return None
    space, offset, size = struct.unpack_from("<4s52xII", header, 56)
    if space != b"DEBM":  # PROFILE_EMBEDDED
        return None
    start = _BMP_HEADER_AT + offset
    return data[start : start + min(size, _BMP_PROFILE_MAX_BYTES)] or None


def _with_end(container: Container, data: mmap.mmap) -> tuple[Container, bytes | None]:
    content = data[:].rstrip(b"\xff")
    try:
        with quiet():
            complete = jpeg.is_complete(content)
    except DECODER_ERRORS:
        complete = False
    if not complete:
        return container, None  # Pillow reports that it is cut off
    detail = "The end marker of the JPEG is missing; every pixel is there."
    note = Note.changed(Subject.STRUCTURE, detail)
    return replace(container, notes=(*container.notes, note)), content + jpeg.EOI


def _identify(source: Path | BytesIO, container: Container) -> ImageFile.ImageFile:
    with quiet():
        if container.jpeg is not None:
            # Image.open is not used: it requires the further pictures of an MPF index.
            return JpegImageFile(source)
        image = Image.open(source, formats=FORMATS)
        if container.tiff is not None:
            tiff.read_wide_planes(image, container.tiff)
        return image


def _identify_without_exif(
    data: mmap.mmap, container: Container
) -> tuple[ImageFile.ImageFile, Container]:
    """Open an AVIF whose EXIF Pillow cannot rewrite, as it does for irot and imir."""
    copy = bytearray(data[:])
    for place in container.avif.exif_items if container.avif is not None else ():
        copy[place : place + 4] = b"skip"
    try:
        with quiet():
            image = Image.open(BytesIO(bytes(copy)), formats=("AVIF",))
    except DECODER_ERRORS as error:
        raise BrokenPicture("the file begins like a picture but its header is damaged") from error
    detail = "EXIF is ignored: it holds values of a wrong type."
    note = Note.dropped(Subject.EXIF, detail)
    return image, replace(container, notes=(*container.notes, note))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings of damaged fields, which it leaves out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _why_unreadable(
    start: bytes, container: Container, error: BaseException
) -> UnsupportedPicture | UnsupportedVariant | BrokenPicture:
    if not (start.startswith(_SIGNATURES) or start[4:12] in _AVIF_BRANDS):
        return UnsupportedPicture(f"expected one of {', '.join(FORMATS)}, found none of them")
    is_unknown = isinstance(error, UnidentifiedImageError | KeyError)
    if container.tiff is not None and is_unknown and container.tiff.photometric_at is not None:
        return unsupported_tiff(container.tiff)
    return BrokenPicture("the file begins like a picture but its header is damaged")


def unsupported_tiff(file: tiff.TiffFile) -> UnsupportedVariant:
    """Return the refusal of a TIFF that is stored in a way that cannot be kept."""
    return UnsupportedVariant(
        f"this kind of TIFF is not supported ({file.description}); save it with 8 or 16 bits a"
        " channel in grey, RGB or CMYK"
    )


def describe_damage(error: BaseException) -> str:
    """Return the message of a decoder, unless it is about a Python type or key."""
    if isinstance(error, OSError | SyntaxError | EOFError) and str(error):
        return f": {error}"
    return ": its data is damaged or cut off"
