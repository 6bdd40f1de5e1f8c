"""Open pictures safely: decide the format by content, check limits before decoding, then decode.

`inspect_picture` reads headers only and is cheap enough for the web process. `open_picture`
decodes; only workers and the command line call it. Both work on hostile files: the list of
formats is explicit (no SVG, PDF, PostScript, WMF or FITS), and pixels are counted over all frames
before any of them is decoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import ExifTags, Image, ImageFile

from artscraper_runner.errors import BrokenPicture, PictureTooLarge
from artscraper_runner.imaging.colour import (
    Colour,
    declared_by_cicp,
    declared_by_png,
    declared_by_profile,
    render,
    without_whole_profile,
)
from artscraper_runner.imaging.formats import avif, jpeg, png
from artscraper_runner.imaging.formats.container import (
    DECODER_ERRORS,
    Container,
    describe_damage,
    open_container,
    quiet,
    unsupported_tiff,
)
from artscraper_runner.imaging.formats.structure import frame_sizes
from artscraper_runner.options import PictureLimits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Pillow's own bomb check is one number for the whole process and warns instead of refusing;
# `_check_limits` takes its place, per call and before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

_SUFFIXES = {"JPEG": ".jpg", "TIFF": ".tif"}  # else the format's name in lower case
_EXIF_ORIENTATION = 0x0112
PNG_XMP = "XML:com.adobe.xmp"
_XMP_KEYS = ("xmp", PNG_XMP)
_WEBP_GREY_TOLERANCE = 1  # its decoder rounds the channels of grey apart
# Pixels as stored -> upright, by EXIF orientation.
_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pixels upright -> as stored: the transposition that undoes each EXIF orientation.
_TO_STORED = {
    **_TO_UPRIGHT,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class PictureHeader:
    """The properties in the first bytes, read without a decoder.

    `format` is one of FORMATS, `width` and `height` are as stored (before EXIF orientation, inside
    a clean aperture), in px; `frames` >= 1; `mode` is Pillow's name of the pixel layout.
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
    uint8 (H, W, 3) in the RGB space that `colour` describes; `alpha` uint8 (H, W) or None.
    `is_grey`: R = G = B wherever the picture can be seen. `orientation` (1..8) is the EXIF value
    that was applied, `exif` the original's fields (treat as read-only). Saving turns the picture
    back, so that a layer is stored the way the original was. `coding` is that of a JPEG, and
    `is_converted` whether `pixels` are other numbers than those that it codes.
    """

    header: PictureHeader
    image: Image.Image
    info: Mapping[Any, Any]
    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    exif: Image.Exif
    orientation: int
    colour: Colour
    is_grey: bool
    container: Container
    coding: jpeg.JpegCoding | None = None
    is_converted: bool = False

    @property
    def xmp(self) -> bytes | None:
        """The XMP packet as the file has it; None without one."""
        xmp = self.info.get("xmp") or self.info.get(PNG_XMP)
        if isinstance(xmp, str):
            xmp = xmp.encode("utf-8", errors="replace")
        return xmp if isinstance(xmp, bytes) and xmp else None

    def as_stored(self, upright: Image.Image) -> Image.Image:
        """Return an upright picture as the original's pixels are stored."""
        if self.orientation not in _TO_STORED:
            return upright
        return upright.transpose(_TO_STORED[self.orientation])

    def without_image(self) -> Picture:
        """Return the same picture with an `image` of one pixel, which frees its memory."""
        return replace(self, image=Image.new(self.image.mode, (1, 1)))


def inspect_picture(path: Path, limits: PictureLimits) -> PictureHeader:
    """Return the picture's header after checking it against `limits`; decode nothing.

    Raises:
        UnsupportedPicture: empty, or not one of FORMATS by its content.
        UnsupportedVariant: one of FORMATS in a variant that cannot be kept faithfully.
        BrokenPicture: one of FORMATS whose header cannot be read.
        PictureTooLarge: more pixels (over all frames), frames or side than allowed.
    """
    with open_container(path) as (image, container):
        header = _checked_header(image, container, path, limits)
        _declared(image, container)
        return header


def open_picture(path: Path, limits: PictureLimits) -> Picture:
    """Return the decoded, upright first frame.

    Raises:
        UnsupportedPicture, UnsupportedVariant, BrokenPicture, PictureTooLarge: as
            `inspect_picture`; BrokenPicture also when the pixels themselves are damaged or cut off.
    """
    with open_container(path, repair=True) as (opened, container):
        header = _checked_header(opened, container, path, limits)
        declared = _declared(opened, container)
        image: Image.Image = opened
        try:
            with quiet():
                exif = _readable_exif(opened)
                # Before load(), which applies a TIFF's itself.
                orientation = _orientation(opened, exif)
                opened.load()
                if (
                    container.png is not None
                    and (key := container.png.transparent_sample) is not None
                ):
                    opened.info["transparency"] = key
                coding = jpeg.read_coding(opened)
                if container.png is not None and container.png.wide_transparent_colour is not None:
                    image = _with_alpha_of_key(opened, path, container.png.wide_transparent_colour)
                if (box := _visible_box(opened, container)) is not None:
                    image = opened.crop(box)
                    image.info = opened.info
                if orientation in _TO_UPRIGHT and header.format != "TIFF":
                    info, image = image.info, image.transpose(_TO_UPRIGHT[orientation])
                    image.info = info
        except DECODER_ERRORS as error:
            reason = describe_damage(error)
            raise BrokenPicture(f"this {header.format} cannot be decoded{reason}") from error
        file = container.tiff
        rendered = render(
            image,
            declared,
            min_is_white=file is not None and file.min_is_white,
            grey_tolerance=_WEBP_GREY_TOLERANCE if header.format == "WEBP" else 0,
        )
        return Picture(
            header=header,
            image=image,
            info=image.info,
            exif=exif,
            orientation=orientation,
            container=container,
            coding=coding,
            **vars(rendered),
        )


def _with_alpha_of_key(image: Image.Image, path: Path, key: tuple[int, int, int]) -> Image.Image:
    """Return the RGB picture with alpha 0 where all 16 bits of each sample are those of `key`."""
    import numpy as np

    with open_container(path, repair=True) as (twin, _):
        png.read_low_bytes(twin)
        twin.load()
        low = np.asarray(twin)
    opaque = np.zeros(low.shape[:2], bool)
    for band, (high_byte, low_byte) in enumerate(divmod(sample, 256) for sample in key):
        opaque |= (np.asarray(image)[..., band] != high_byte) | (low[..., band] != low_byte)
    with_alpha = image.copy()
    with_alpha.info = {name: value for name, value in image.info.items() if name != "transparency"}
    with_alpha.putalpha(Image.fromarray(opaque.astype(np.uint8) * np.uint8(255)))
    return with_alpha


def _checked_header(
    image: ImageFile.ImageFile, container: Container, path: Path, limits: PictureLimits
) -> PictureHeader:
    width, height = image.size
    for side in (width, height):
        if side > limits.max_side:
            raise PictureTooLarge("px of width or height", side, limits.max_side)
    if width * height > limits.max_pixels:
        raise PictureTooLarge("pixels", width * height, limits.max_pixels)
    mode = image.mode
    if container.tiff is not None and mode in ("I", "F"):
        raise unsupported_tiff(container.tiff)
    try:
        with quiet():
            frames = _check_frames(image, path, limits)
    except DECODER_ERRORS as error:
        raise BrokenPicture(
            f"the picture's frames cannot be read{describe_damage(error)}"
        ) from error
    if (box := _visible_box(image, container)) is not None:
        width, height = box[2] - box[0], box[3] - box[1]
    return PictureHeader(str(image.format), width, height, frames, mode)


def _visible_box(image: Image.Image, container: Container) -> avif.Box | None:
    return None if container.avif is None else container.avif.visible_box(*image.size)


def _declared(image: Image.Image, container: Container) -> Colour:
    """Return the colour space of the pixels: an ICC profile, else what the container declares.

    Raises:
        UnsupportedVariant: they cannot be kept in 8 bits.
    """
    if container.png is not None:
        declared = declared_by_png(container.png)
        if declared.png_chunks or declared.notes:
            return declared
    profile = image.info.get("icc_profile", container.bmp_profile)
    if profile is not None:
        declared = declared_by_profile(profile)
        if declared.profile is not None:
            return declared
    elif container.jpeg is not None and container.jpeg.has_profile:
        declared = without_whole_profile()
    else:
        declared = Colour()
    if container.avif is not None and container.avif.cicp is not None:
        return replace(declared_by_cicp(*container.avif.cicp), notes=declared.notes)
    return declared


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
    """Return the EXIF fields, none if they are damaged: that is no reason to refuse a picture.

    Pillow takes an orientation from XMP, too, which no viewer does.
    """
    packets = {key: image.info.pop(key) for key in _XMP_KEYS if key in image.info}
    try:
        exif = image.getexif()
        for directory in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            exif.get_ifd(directory)  # read while the file is open, kept by the object
        _drop_unreadable(exif)
    except DECODER_ERRORS:
        return Image.Exif()
    finally:
        image.info.update(packets)
    return exif


def _drop_unreadable(exif: Image.Exif) -> None:
    """Pillow decodes a field when it is read, and so may fail long after the opening."""
    for tag in list(exif):
        try:
            exif[tag]
        except DECODER_ERRORS:
            del exif[tag]


def _orientation(image: Image.Image, exif: Image.Exif) -> int:
    """Return the orientation, 1..8; that in a text chunk of a PNG is not applied by viewers."""
    if "exif" not in image.info and image.format != "TIFF":
        return 1
    value = exif.get(_EXIF_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
