"""What of a picture's EXIF goes into its layers: what the camera and the author say, no places.

Of the main directory only fields that describe the picture are taken: in a TIFF it is also the
directory that says how the pixels are stored, and one such field left over breaks the file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from numbers import Real
from typing import Any

from PIL import Image

from artscraper_runner.imaging.decode import Picture

Fields = dict[int, Any]

CAMERA_IFD = 0x8769
XMP_TAG = 700  # of a TIFF, whose EXIF is its own directory
_ORIENTATION, _ARTIST, _COPYRIGHT, _MAKER_NOTE = 0x0112, 0x013B, 0x8298, 0x927C
_RESOLUTION, _RESOLUTION_UNIT = (0x011A, 0x011B), 0x0128
_UNITS = (1, 2, 3)  # none, inch, centimetre
# The document's and the page's name, description, make, model, resolution and its unit, software,
# date, artist, host, copyright, rating, and what Windows Explorer writes of them.
_DESCRIPTIVE = frozenset(
    {0x010D, 0x010E, 0x010F, 0x0110, *_RESOLUTION, 0x011D, 0x0131, 0x0132, _ARTIST}
    | {_RESOLUTION_UNIT, 0x013C, _COPYRIGHT, 0x4746, 0x4749, *range(0x9C9B, 0x9CA0)}
)


def carried_exif(
    picture: Picture, *, max_bytes: int | None = None, xmp: bytes | None = None
) -> bytes | None:
    """Returns the EXIF block of the picture's layers, None for an empty one.

    `max_bytes` None = any length; else the maker's note goes first, then the camera's other
    fields, then all but author and orientation, and the author's own at the very last.
    `xmp` is put in as a TIFF holds it.
    """
    main, camera = _main_fields(picture), _camera_fields(picture)
    if xmp is not None:
        main[XMP_TAG] = xmp
    for fields, of_camera in _shorter_and_shorter(main, camera):
        block = _written(fields, of_camera)
        if max_bytes is None or len(block) <= max_bytes:
            return block or None
    return None


def _main_fields(picture: Picture) -> Fields:
    fields = {
        tag: value
        for tag, value in picture.exif.items()
        if tag in _DESCRIPTIVE and _can_be_written(tag, value)
    }
    for tag in _RESOLUTION:
        if tag in fields and not is_resolution(fields[tag]):
            del fields[tag]
    if fields.get(_RESOLUTION_UNIT, 1) not in _UNITS:
        del fields[_RESOLUTION_UNIT]
    if picture.orientation != 1 or _ORIENTATION in picture.exif:
        fields[_ORIENTATION] = picture.orientation
    return fields


def _camera_fields(picture: Picture) -> Fields:
    found = picture.exif.get_ifd(CAMERA_IFD).items()
    return {tag: value for tag, value in found if _can_be_written(tag, value)}


def _shorter_and_shorter(main: Fields, camera: Fields) -> Iterator[tuple[Fields, Fields]]:
    yield main, camera
    yield main, {tag: value for tag, value in camera.items() if tag != _MAKER_NOTE}
    yield main, {}
    yield {tag: main[tag] for tag in (_ORIENTATION, _ARTIST, _COPYRIGHT) if tag in main}, {}
    yield {tag: main[tag] for tag in (_ORIENTATION,) if tag in main}, {}


def _written(main: Fields, camera: Fields) -> bytes:
    if not main and not camera:
        return b""
    exif = Image.Exif()
    for tag, value in main.items():
        exif[tag] = value
    if camera:
        exif[CAMERA_IFD] = camera
    return exif.tobytes()


def is_resolution(value: object) -> bool:
    """Whether `value` can be a resolution: n/0 is read as no number, and nothing can write it."""
    return isinstance(value, Real) and math.isfinite(float(value)) and float(value) > 0


def _can_be_written(tag: int, value: object) -> bool:
    """Cameras write fields of the wrong type, which can be read but not written again."""
    alone = Image.Exif()
    try:
        alone[tag] = value
        alone.tobytes()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, struct.error):
        return False
    return True
