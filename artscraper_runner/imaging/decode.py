"""Open pictures safely: decide the format by content, check limits before decoding, then decode.

`inspect_picture` reads headers only and is cheap enough for the web process. `open_picture`
decodes; only workers and the command line call it. Both work on hostile files: the list of
formats is explicit (no SVG, PDF, PostScript, WMF or FITS), and pixels are counted over all frames
before any of them is decoded.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from artscraper_runner.errors import BrokenPicture, PictureTooLarge, UnsupportedPicture
from artscraper_runner.imaging.structure import check_structure, frame_sizes
from artscraper_runner.options import PictureLimits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Pillow's own bomb check is one number for the whole process and warns instead of refusing;
# `_check_limits` takes its place, per call and before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF")
_SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF",
    b"II*\x00",
    b"MM\x00*",
    b"II+\x00",
    b"MM\x00+",
    b"GIF8",
    b"BM",
)
_SUFFIXES = {"JPEG": ".jpg", "TIFF": ".tif"}  # else the format's name in lower case
# What damaged files make Pillow raise, by trying 10,000 mutated ones.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_EXIF_ORIENTATION = 0x0112
_BAND_ROWS = 16


@dataclass(frozen=True)
class PictureHeader:
    """What the first bytes say: nothing here needed a decoder.

    `format` is one of FORMATS, `width` and `height` are as stored (before EXIF orientation),
    in px; `frames` >= 1; `mode` is Pillow's name of the pixel layout.
    """

    format: str
    width: int
    height: int
    frames: int
    mode: str

    @property
    def suffix(self) -> str:
        """The file suffix of the format, with its dot."""
        return _SUFFIXES.get(self.format, f".{self.format.lower()}")


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright: EXIF orientation has been applied to everything here.

    `image` is the first frame in its own mode, `info` what Pillow found beside it; `pixels` is
    uint8 (H, W, 3) in the picture's own RGB space; `alpha` uint8 (H, W) or None. `orientation`
    (1..8) is the EXIF value that was applied, `exif` the original's fields (treat as read-only).
    Saving turns the picture back, so that a layer is stored the way the original was.
    """

    header: PictureHeader
    image: Image.Image
    info: Mapping[Any, Any]
    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    exif: Image.Exif
    orientation: int

    def without_image(self) -> Picture:
        """Returns the same but for `image`, which is one pixel: for whoever needs the rest only."""
        return replace(self, image=Image.new(self.image.mode, (1, 1)))


def inspect_picture(path: Path, limits: PictureLimits) -> PictureHeader:
    """Returns the picture's header after checking it against `limits`; decodes nothing.

    Raises:
        UnsupportedPicture: empty, or not one of FORMATS by its content.
        BrokenPicture: one of FORMATS whose header cannot be read.
        PictureTooLarge: more pixels (over all frames), frames or side than allowed.
    """
    with _open(path) as image:
        return _checked_header(image, path, limits)


def open_picture(path: Path, limits: PictureLimits) -> Picture:
    """Returns the decoded, upright first frame.

    Raises:
        UnsupportedPicture, BrokenPicture, PictureTooLarge: as `inspect_picture`; BrokenPicture
        also when the pixels themselves are damaged or cut off.
    """
    with _open(path) as image:
        header = _checked_header(image, path, limits)
        try:
            with _quiet():
                exif = _readable_exif(image)
                orientation = _orientation(exif)  # before load(), which applies a TIFF's itself
                image.load()
                upright = ImageOps.exif_transpose(image) if orientation != 1 else image
        except _DECODER_ERRORS as error:
            raise BrokenPicture(f"this {header.format} cannot be decoded: {error}") from error
    rgb, alpha = _split_alpha(upright)
    return Picture(header, upright, upright.info, rgb, alpha, exif, orientation)


def _open(path: Path) -> Image.Image:
    check_structure(path)
    try:
        with _quiet():
            return Image.open(path, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise _why_unreadable(path) from error
    except _DECODER_ERRORS as error:
        raise BrokenPicture(f"the picture's header cannot be read: {error}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow warns of damaged fields, which it then leaves out: so do we, without a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _why_unreadable(path: Path) -> UnsupportedPicture | BrokenPicture:
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        return UnsupportedPicture("expected a picture, found zero bytes")
    if start.startswith(_SIGNATURES) or start[4:12] in (b"ftypavif", b"ftypavis"):
        return BrokenPicture("the file begins like a picture but its header is damaged")
    return UnsupportedPicture(f"expected one of {', '.join(FORMATS)}, found none of them")


def _checked_header(image: Image.Image, path: Path, limits: PictureLimits) -> PictureHeader:
    width, height = image.size
    for side in (width, height):
        if side > limits.max_side:
            raise PictureTooLarge("px of width or height", side, limits.max_side)
    if width * height > limits.max_pixels:
        raise PictureTooLarge("pixels", width * height, limits.max_pixels)
    mode = image.mode
    try:
        with _quiet():
            frames = _check_frames(image, path, limits)
    except _DECODER_ERRORS as error:
        raise BrokenPicture(f"the picture's frames cannot be read: {error}") from error
    # A JPEG with further pictures behind the first opens as MPO; the first one is a JPEG.
    format_name = "JPEG" if image.format == "MPO" else str(image.format)
    return PictureHeader(format_name, width, height, frames, mode)


def _check_frames(image: Image.Image, path: Path, limits: PictureLimits) -> int:
    pixels = frames = 0
    for width, height in frame_sizes(image, path):
        frames += 1
        pixels += width * height
        if pixels > limits.max_pixels:
            raise PictureTooLarge("pixels over all frames", pixels, limits.max_pixels)
        if frames > limits.max_frames:
            raise PictureTooLarge("frames", frames, limits.max_frames)
    return max(1, frames)


def _readable_exif(image: Image.Image) -> Image.Exif:
    """Damaged camera fields are no reason to refuse a picture: it is treated as having none."""
    try:
        exif = image.getexif()
        for directory in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            exif.get_ifd(directory)  # read while the file is open, kept by the object
        _drop_unreadable(exif)
    except _DECODER_ERRORS:
        return Image.Exif()
    return exif


def _drop_unreadable(exif: Image.Exif) -> None:
    """Pillow decodes a field when it is asked for, and so may fail long after the opening."""
    for tag in list(exif):
        try:
            exif[tag]
        except _DECODER_ERRORS:
            del exif[tag]


def _orientation(exif: Image.Exif) -> int:
    value = exif.get(_EXIF_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _split_alpha(image: Image.Image) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Returns uint8 RGB (H, W, 3) and the alpha plane (H, W), None where there is no alpha."""
    import numpy as np

    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        return _array(rgba), _array(rgba.getchannel("A"))[..., 0]
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return np.repeat(_to_eight_bits(np.asarray(image))[..., None], 3, axis=2), None
    if image.mode == "RGB":  # converting would copy
        return _array(image), None
    rgb = _cmyk_to_srgb(image) if image.mode == "CMYK" else image.convert("RGB")
    return _array(rgb), None


def _array(image: Image.Image) -> NDArray[np.uint8]:
    """uint8 (H, W, C) of an 8-bit picture, not writable; C is 3 at most: no alpha.

    Band by band: `np.asarray` packs the whole picture in small pieces and joins them, which takes
    four times as long on 24 megapixels, and as much memory again.
    """
    import numpy as np

    width, height = image.size
    bands = len(image.getbands())
    pixels = np.empty((height, width, min(bands, 3)), np.uint8)
    for top in range(0, height, _BAND_ROWS):
        band = image.crop((0, top, width, min(top + _BAND_ROWS, height)))
        rows = pixels[top : top + _BAND_ROWS]
        rows[:] = np.frombuffer(band.tobytes(), np.uint8).reshape(-1, width, bands)[..., :3]
    pixels.flags.writeable = False
    return pixels


def _to_eight_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """16-bit grey to 8 bits. 32-bit modes have no fixed range, so they are refused."""
    import numpy as np

    if values.dtype.kind != "u" or values.dtype.itemsize != 2:
        raise UnsupportedPicture(
            "expected 8 or 16 bits a channel, found 32; save the picture with 16 or fewer"
        )
    return ((values.astype(np.uint32) * 255 + 32_767) // 65_535).astype(np.uint8)


def _cmyk_to_srgb(image: Image.Image) -> Image.Image:
    """Through the picture's own profile, which alone says what its inks look like."""
    from io import BytesIO

    from PIL import ImageCms

    profile = image.info.get("icc_profile")
    if not profile:
        return image.convert("RGB")
    try:
        converted = ImageCms.profileToProfile(
            image, BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError) as error:
        raise BrokenPicture(f"the CMYK colour profile cannot be used: {error}") from error
    return converted if converted is not None else image.convert("RGB")
