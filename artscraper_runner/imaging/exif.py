"""Choose the EXIF fields of a layer: the camera's and the author's, without places and pictures.

Of the main directory only fields that describe the picture are taken: in a TIFF it is also the
directory that describes how the pixels are stored, and one such field left over breaks the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any

from PIL import ExifTags, Image

from artscraper_runner.imaging.decode import Picture
from artscraper_runner.imaging.formats.container import DECODER_ERRORS, quiet
from artscraper_runner.imaging.formats.embedded import holds_picture
from artscraper_runner.imaging.iptc import TIFF_TAG as IPTC_TAG
from artscraper_runner.imaging.notes import Note, Subject

Fields = dict[int, Any]

CAMERA_IFD = 0x8769
XMP_TAG = 700  # of a TIFF, whose EXIF is its own directory
_GPS_IFD, _INTEROPERABILITY_IFD = 0x8825, 0xA005
_ORIENTATION, _ARTIST, _COPYRIGHT, _MAKER_NOTE = 0x0112, 0x013B, 0x8298, 0x927C
_COLOUR_SPACE, _UNCALIBRATED = 0xA001, 0xFFFF
_INTEROPERABILITY_INDEX, _ADOBE_RGB = 1, "R03"  # DCF 2.0 (CIPA DC-009): an optional file
_RESOLUTION, _RESOLUTION_UNIT = (0x011A, 0x011B), 0x0128
_UNITS = (1, 2, 3)  # none, inch, centimetre
# The document's and the page's name, description, make, model, resolution and its unit, software,
# date, artist, host, copyright, rating, and what Windows Explorer writes of them.
_DESCRIPTIVE = frozenset(
    {0x010D, 0x010E, 0x010F, 0x0110, *_RESOLUTION, 0x011D, 0x0131, 0x0132, _ARTIST}
    | {_RESOLUTION_UNIT, 0x013C, _COPYRIGHT, 0x4746, 0x4749, *range(0x9C9B, 0x9CA0)}
)


@dataclass(frozen=True)
class CarriedExif:
    """The EXIF block of a layer, None for an empty one, and what became of the original's."""

    block: bytes | None
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class _Fields:
    main: Fields
    camera: Fields
    colour: Fields  # those of the camera that say which space the numbers are in
    unwritable: int  # fields of a type that cannot be written
    pictures: int  # fields with a copy of the picture in them
    note_with_picture: bool


def carry_exif(
    picture: Picture,
    *,
    max_bytes: int | None = None,
    xmp: bytes | None = None,
    iptc: bytes | None = None,
) -> CarriedExif:
    """Return the EXIF block of the picture's layers.

    If the block exceeds `max_bytes` (None: any length) the maker's note goes first, then the
    camera's other fields, then all but author and orientation, and the author at the very last.
    `xmp` and `iptc` are put in where a TIFF holds them.
    """
    fields = _choose_fields(picture)
    main = dict(fields.main)
    if xmp is not None:
        main[XMP_TAG] = xmp
    if iptc is not None:
        main[IPTC_TAG] = iptc
    for left_out, (some, of_camera) in enumerate(_shorter_and_shorter(main, fields)):
        block = _write(some, of_camera)
        if max_bytes is None or len(block) <= max_bytes:
            return CarriedExif(block or None, tuple(_notes(picture, fields, left_out)))
    return CarriedExif(None, tuple(_notes(picture, fields, len(_LEFT_OUT) - 1)))


_LEFT_OUT = (
    "",
    "the maker's note",
    "the camera's fields",
    "all but author, copyright and orientation",
    "all but the orientation",
    "everything",
)


def _notes(picture: Picture, fields: _Fields, left_out: int) -> Iterator[Note]:
    author = {_ARTIST, _COPYRIGHT} & set(fields.main)
    if left_out:
        detail = f"Too long for this format: {_LEFT_OUT[left_out]} is left out."
        if left_out == 1:
            yield Note.dropped(Subject.MAKER_NOTE, detail)
        else:
            yield Note.changed(Subject.EXIF, detail)
    if fields.unwritable:
        detail = f"Fields of a wrong type are left out: {fields.unwritable}."
        yield Note.changed(Subject.EXIF, detail)
    if fields.pictures:
        subject = Subject.MAKER_NOTE if fields.note_with_picture else Subject.THUMBNAIL
        yield Note.dropped(subject, "A field with a copy of the picture in it is removed.")
    if (fields.main.keys() - {_ORIENTATION}) or fields.camera:
        detail = "Author and copyright." if author else "Fields of the camera and the author."
        if author and fields.camera:
            detail = "Camera, author and copyright."
        yield Note.kept(Subject.EXIF, detail)
    if fields.colour and picture.colour.profile is None:
        detail = "The colours stay Adobe RGB, as EXIF says (DCF); browsers take them for sRGB."
        yield Note.kept(Subject.COLOUR_PROFILE, detail)
    if _MAKER_NOTE in fields.camera and not left_out:
        yield Note.kept(Subject.MAKER_NOTE, "The maker's note of the camera.")
    if exif_directory(picture.exif, _GPS_IFD):
        yield Note.dropped(Subject.GPS, "The GPS position in EXIF is removed.")
    # A TIFF's second directory is its second picture.
    if picture.header.format != "TIFF" and exif_directory(picture.exif, ExifTags.IFD.IFD1):
        yield Note.dropped(Subject.THUMBNAIL, "The thumbnail in EXIF is removed.")


def _choose_fields(picture: Picture) -> _Fields:
    main: Fields = {}
    camera: Fields = {}
    unwritable, pictures, in_note = 0, 0, False
    descriptive = {tag: value for tag, value in picture.exif.items() if tag in _DESCRIPTIVE}
    of_camera = exif_directory(picture.exif, CAMERA_IFD)
    of_camera.pop(_INTEROPERABILITY_IFD, None)  # an offset, which no longer points anywhere
    for source, target in ((descriptive, main), (of_camera, camera)):
        for tag, value in source.items():
            if holds_picture(value):
                pictures += 1
                in_note = in_note or tag == _MAKER_NOTE
            elif _can_be_written(tag, value) and _is_sensible(tag, value):
                target[tag] = value
            else:
                unwritable += 1
    if picture.orientation != 1 or _ORIENTATION in picture.exif:
        main[_ORIENTATION] = picture.orientation
    colour = _adobe_rgb(picture, camera)
    return _Fields(main, {**camera, **colour}, colour, unwritable, pictures, in_note)


def _adobe_rgb(picture: Picture, camera: Fields) -> Fields:
    """Return the fields by which cameras say that a picture without a profile is in Adobe RGB."""
    of_file = exif_directory(picture.exif, _INTEROPERABILITY_IFD)
    index = str(of_file.get(_INTEROPERABILITY_INDEX, "")).strip("\0 ")
    if camera.get(_COLOUR_SPACE) != _UNCALIBRATED or index != _ADOBE_RGB:
        return {}
    directory = {_INTEROPERABILITY_INDEX: _ADOBE_RGB, 2: b"0100"}
    return {_COLOUR_SPACE: _UNCALIBRATED, _INTEROPERABILITY_IFD: directory}


def exif_directory(exif: Image.Exif, tag: int) -> Fields:
    """Return the fields of a nested directory, none if it cannot be read."""
    try:
        with quiet():
            return dict(exif.get_ifd(tag))
    except DECODER_ERRORS:
        return {}


def _is_sensible(tag: int, value: object) -> bool:
    if tag in _RESOLUTION:
        return is_resolution(value)
    return tag != _RESOLUTION_UNIT or value in _UNITS


def _shorter_and_shorter(main: Fields, fields: _Fields) -> Iterator[tuple[Fields, Fields]]:
    camera, colour = fields.camera, fields.colour
    yield main, camera
    yield main, {tag: value for tag, value in camera.items() if tag != _MAKER_NOTE}
    yield main, colour
    yield {tag: main[tag] for tag in (_ORIENTATION, _ARTIST, _COPYRIGHT) if tag in main}, colour
    yield {tag: main[tag] for tag in (_ORIENTATION,) if tag in main}, colour


def _write(main: Fields, camera: Fields) -> bytes:
    if not main and not camera:
        return b""
    exif = Image.Exif()
    for tag, value in main.items():
        exif[tag] = value
    if camera:
        exif[CAMERA_IFD] = camera
    return exif.tobytes()


def is_resolution(value: object) -> bool:
    """Return whether `value` is a resolution: n/0 is read as NaN, and cannot be written."""
    return isinstance(value, Real) and math.isfinite(float(value)) and float(value) > 0


def _can_be_written(tag: int, value: object) -> bool:
    """Return whether Pillow can write a field that it read: cameras write fields of wrong types."""
    alone = Image.Exif()
    try:
        alone[tag] = value
        alone.tobytes()
    except DECODER_ERRORS:
        return False
    return True
