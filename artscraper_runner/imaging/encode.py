"""Save a layer the way its original was saved.

PNG, lossless WebP, TIFF and BMP stay what they are. GIF and palette pictures cannot carry the
change and become PNG. A JPEG is saved with the quantisation tables, the subsampling and the
progressive mode of the original, a lossy WebP as WebP 99, an AVIF as AVIF 99 or 100 (4:4:4) with
exact alpha, unless that is too far from the original (`coding`). Grey stays grey. Size, colour
description, alpha, resolution, orientation, camera, author and rights fields are kept; GPS,
thumbnails and everything that promises parts which a layer does not have are dropped.
docs/pictures.md has the whole list.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from artscraper_runner.errors import RunnerError
from artscraper_runner.imaging import iptc
from artscraper_runner.imaging.decode import PNG_XMP, Picture
from artscraper_runner.imaging.exif import (
    CAMERA_IFD,
    CarriedExif,
    carry_exif,
    exif_directory,
    is_resolution,
)
from artscraper_runner.imaging.files import atomic_path
from artscraper_runner.imaging.formats.coding import Coding, as_coded, choose_coding, corrected
from artscraper_runner.imaging.formats.embedded import holds_picture
from artscraper_runner.imaging.formats.jpeg_buffer import save_image
from artscraper_runner.imaging.xmp import MAX_BYTES, StrippedXmp, strip_xmp

EditXmp = Callable[[bytes | None], bytes | None]

# Level 6 makes flat art a tenth smaller than level 3 and takes twice as long: 0.3 s a megapixel.
_WELL_COMPRESSED_MAX_VALUES = 3 * 2_000_000
PNG_PROFILE_PREFIX = "Raw profile type "
# One segment of a JPEG, less its header.
_JPEG_EXIF_MAX_BYTES = 65_527
_JPEG_XMP_MAX_BYTES = 65_504
_JPEG_COMMENT_MAX_BYTES = 65_533


@dataclass(frozen=True)
class LayerFormat:
    """The encoding of a layer: Pillow's format name, the suffix, and whether pixels are exact.

    `coding` and `profile` are those of a lossy layer. `is_lossless_instead`: the original is lossy,
    but no lossy coding comes near enough to it.
    """

    name: str
    suffix: str
    lossless: bool
    coding: Coding = field(default_factory=Coding)
    is_lossless_instead: bool = False
    profile: bytes | None = None

    @property
    def max_xmp_bytes(self) -> int | None:
        """The longest XMP packet that the format holds; None: any."""
        return _JPEG_XMP_MAX_BYTES if self.name == "JPEG" else None


def layer_format(picture: Picture, source: Path) -> LayerFormat:
    """Return the format that layers of `picture`, read from `source`, are saved in."""
    name = picture.header.format
    palette = picture.header.mode in ("P", "PA", "1")
    if name == "GIF" or (palette and name in ("TIFF", "BMP", "PNG")):
        return LayerFormat("PNG", ".png", lossless=True)
    if name == "BMP" and (picture.alpha is not None or picture.colour.profile is not None):
        return LayerFormat("PNG", ".png", lossless=True)
    suffix = picture.header.suffix
    if name in ("PNG", "TIFF", "BMP") or (name == "WEBP" and _webp_is_lossless(source)):
        return LayerFormat(name, suffix, lossless=True)
    coding = choose_coding(picture, name, file_bytes=source.stat().st_size)
    if coding is None:
        return LayerFormat(name, suffix, lossless=True, is_lossless_instead=True)
    profile = picture.colour.profile
    return LayerFormat(name, suffix, lossless=False, coding=coding, profile=profile)


def save_layer(
    pixels: NDArray[np.uint8],
    picture: Picture,
    path: Path,
    how: LayerFormat,
    *,
    edit_xmp: EditXmp = lambda xmp: xmp,
) -> None:
    """Write `pixels`, upright uint8 (H, W, 3), with what `picture` carries beside its pixels.

    `edit_xmp` gets the picture's XMP packet, None: none, and returns the one to write, which is
    left out where the format cannot hold one of its length. The file appears under `path` whole or
    not at all.

    Raises:
        RunnerError: the encoder refused the picture.
    """
    image = picture.as_stored(_as_image(pixels, picture, how))
    with atomic_path(path) as temporary:
        try:
            options = _encoder_options(picture, how)
            image = corrected(image, how.name, options, how.coding.corrections)
            options |= _carried_metadata(picture, how, edit_xmp)
            save_image(image, temporary, how.name, options)
        except OSError as error:
            reason = error.strerror or error
            raise RunnerError(f"the layer cannot be saved as {how.name}: {reason}") from error
        except (ValueError, TypeError, RuntimeError, struct.error) as error:
            raise RunnerError(f"the layer cannot be saved as {how.name}: {error}") from error


def as_saved(pixels: NDArray[np.uint8], how: LayerFormat, *, is_grey: bool) -> NDArray[np.uint8]:
    """Return the luma that `open_picture` reads from a lossy layer; see `as_coded`."""
    options = how.coding.options(how.name, is_grey=is_grey, has_alpha=False)
    return as_coded(
        pixels,
        how.name,
        {**options, "icc_profile": how.profile},
        corrections=how.coding.corrections,
        in_one_channel=_in_one_channel(how.name, how.profile, is_grey=is_grey),
    )


def _as_image(pixels: NDArray[np.uint8], picture: Picture, how: LayerFormat) -> Image.Image:
    """Return the picture to encode: in one channel where it is grey and the format has one."""
    is_grey = _in_one_channel(how.name, picture.colour.profile, is_grey=picture.is_grey)
    alpha = picture.alpha
    if alpha is not None:
        if is_grey and how.name in ("PNG", "TIFF") and _is_grey(pixels):
            return Image.fromarray(np.dstack([pixels[..., :1], alpha]))
        return Image.fromarray(np.dstack([pixels, alpha]))
    return Image.fromarray(pixels[..., 0] if is_grey and _is_grey(pixels) else pixels)


def _in_one_channel(name: str, profile: bytes | None, *, is_grey: bool) -> bool:
    """Return whether a layer can be saved in one channel; an RGB profile stays with RGB numbers."""
    return is_grey and profile is None and name != "WEBP"


def _is_grey(pixels: NDArray[np.uint8]) -> bool:
    return bool(
        np.array_equal(pixels[..., 0], pixels[..., 1])
        and np.array_equal(pixels[..., 1], pixels[..., 2])
    )


def _encoder_options(picture: Picture, how: LayerFormat) -> dict[str, Any]:
    if not how.lossless:
        has_alpha = picture.alpha is not None
        return how.coding.options(how.name, is_grey=picture.is_grey, has_alpha=has_alpha)
    if how.name == "WEBP":
        return {"lossless": True, "exact": True, "quality": 50, "method": 2}
    if how.name == "PNG":
        is_small = picture.pixels.size <= _WELL_COMPRESSED_MAX_VALUES
        return {"compress_level": 6 if is_small else 3}
    if how.name == "TIFF" and not exif_directory(picture.exif, CAMERA_IFD):
        # Pillow compresses through libtiff, which drops the camera's directory.
        return {"compression": "tiff_adobe_deflate"}
    return {}


def _carried_metadata(picture: Picture, how: LayerFormat, edit_xmp: EditXmp) -> dict[str, Any]:
    """Return Pillow's options for the metadata that the format can hold."""
    info = picture.info
    options: dict[str, Any] = {}
    profile = picture.colour.profile
    if profile is not None and how.name != "BMP" and not _png_chunks(picture, how):
        options["icc_profile"] = profile
    if (dpi := _resolution(info)) and how.name in ("JPEG", "PNG", "TIFF", "BMP"):
        options["dpi"] = dpi
    xmp = _edited_xmp(picture, how, edit_xmp)
    if exif := carried_exif(picture, how, xmp=xmp).block:
        options["exif"] = exif
    if how.name == "PNG":
        options["pnginfo"] = _png_info(picture, how, xmp)
    elif how.name in ("JPEG", "WEBP", "AVIF") and xmp:
        options["xmp"] = xmp
    if how.name == "JPEG":
        options["comment"] = carried_comment(picture) or b""
        options["extra"] = iptc.jpeg_segment(info, carried_iptc(picture)) or b""
    return options


def _resolution(info: Mapping[Any, Any]) -> tuple[float, float] | None:
    dpi = info.get("dpi")
    if isinstance(dpi, tuple) and len(dpi) == 2 and all(is_resolution(value) for value in dpi):
        return float(dpi[0]), float(dpi[1])
    return None


def carried_exif(picture: Picture, how: LayerFormat, *, xmp: bytes | None = None) -> CarriedExif:
    """Return the EXIF block that a layer gets, `xmp` inside where it is a TIFF."""
    if how.name == "BMP":
        return CarriedExif(None, ())
    if how.name == "TIFF":
        return carry_exif(picture, xmp=xmp, iptc=carried_iptc(picture))
    return carry_exif(picture, max_bytes=_JPEG_EXIF_MAX_BYTES if how.name == "JPEG" else None)


def carried_iptc(picture: Picture) -> bytes | None:
    """Return the IPTC fields for layers, without previews, or None."""
    block = iptc.read_iptc(picture.info, picture.exif)
    return None if block is None else iptc.strip_iptc(block)


def carried_comment(picture: Picture) -> bytes | None:
    """Return the comment of a JPEG or GIF; None without one, or if it holds a picture."""
    comment = picture.info.get("comment")
    if isinstance(comment, str):
        comment = comment.encode("utf-8", errors="replace")
    if not isinstance(comment, bytes) or not comment or holds_picture(comment):
        return None
    return comment[:_JPEG_COMMENT_MAX_BYTES]


def carried_text(picture: Picture) -> dict[str, str]:
    """Return the text chunks of a PNG that layers get: all but profiles and pictures."""
    if picture.header.format != "PNG":
        return {}
    return {
        str(key): str(value)
        for key, value in picture.info.items()
        if is_png_text(key, value) and not holds_picture(str(value))
    }


def is_png_text(key: object, value: object) -> bool:
    """Return whether an entry of Pillow's `info` is a text chunk, except XMP and raw profiles."""
    is_text = isinstance(key, str) and isinstance(value, str) and 1 <= len(key) <= 79
    return is_text and key != PNG_XMP and not str(key).startswith(PNG_PROFILE_PREFIX)


def stripped_xmp(picture: Picture) -> StrippedXmp | None:
    """Return the picture's XMP packet as layers may carry it; None without a readable one."""
    return strip_xmp(picture.xmp) if picture.xmp else None


def carried_xmp(picture: Picture) -> bytes | None:
    """Return the picture's XMP packet without places and pictures; None without one."""
    stripped = stripped_xmp(picture)
    return None if stripped is None else stripped.packet


def why_xmp_is_left_out(picture: Picture, how: LayerFormat) -> str | None:
    """Return why layers do not keep the picture's XMP packet, or None."""
    packet = picture.xmp
    if packet is None:
        return None
    if len(packet) > MAX_BYTES:
        return f"XMP is left out of the layers: {MAX_BYTES} bytes are read, it has {len(packet)}"
    carried = carried_xmp(picture)
    if carried is None:
        return (
            "XMP is left out of the layers: it cannot be searched for places, expected well-formed"
            " XML in UTF-8 or UTF-16 without document types"
        )
    most = how.max_xmp_bytes
    if most is not None and len(carried) > most:
        return (
            f"XMP is left out of the layers: in UTF-8 it has {len(carried)} bytes,"
            f" a {how.name} holds {most}"
        )
    return None


def _edited_xmp(picture: Picture, how: LayerFormat, edit_xmp: EditXmp) -> bytes | None:
    xmp = edit_xmp(carried_xmp(picture))
    if xmp is None or (how.max_xmp_bytes is not None and len(xmp) > how.max_xmp_bytes):
        return None
    return xmp


def _png_chunks(picture: Picture, how: LayerFormat) -> tuple[tuple[bytes, bytes], ...]:
    return picture.colour.png_chunks if how.name == "PNG" else ()


def _png_info(picture: Picture, how: LayerFormat, xmp: bytes | None) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for kind, content in _png_chunks(picture, how):
        info.add(kind, content)
    for key, value in carried_text(picture).items():
        info.add_itxt(key, value)
    if picture.header.format == "GIF" and (comment := carried_comment(picture)) is not None:
        info.add_itxt("Comment", comment.decode("utf-8", errors="replace"))
    if (block := carried_iptc(picture)) is not None:
        info.add_text(iptc.PNG_KEY, iptc.png_text(block), zip=True)
    if xmp:
        info.add_itxt(PNG_XMP, xmp.decode())
    return info


def _webp_is_lossless(path: Path) -> bool:
    """Return whether the first frame is a VP8L chunk (WebP container specification)."""
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            kind, size = head[:4], int.from_bytes(head[4:], "little")
            if kind in (b"VP8L", b"VP8 "):
                return kind == b"VP8L"
            # ANMF holds its own chunks behind 16 bytes; the others are skipped, padded to even.
            file.seek(16 if kind == b"ANMF" else size + size % 2, 1)
    return False
