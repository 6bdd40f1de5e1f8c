"""Save a layer the way its original was saved, and never worse than the protection can stand.

PNG, lossless WebP, TIFF and BMP stay what they are. GIF and palette pictures cannot carry the
change and become PNG. A JPEG is saved as JPEG of quality 95 with full colour resolution, a lossy
WebP as WebP 95, an AVIF as AVIF 95 (4:4:4). Size, ICC profile, alpha, resolution, orientation,
camera and author fields are kept; GPS is dropped wherever it stands.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, PngImagePlugin, TiffImagePlugin

from artscraper_runner.errors import RunnerError
from artscraper_runner.images import Picture
from artscraper_runner.workspace import atomic_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EditXmp = Callable[[bytes | None], bytes | None]

LOSSY_QUALITY = 95
_EXIF_IFD = 0x8769
_GPS_IFD = 0x8825
_ORIENTATION = 0x0112
_EXIF_MAX_BYTES = 65_527  # one JPEG segment
_XMP_TIFF_TAG = 700
# EXIF fields that describe the stored pixels; the encoder writes its own.
_LAYOUT_TAGS = frozenset(range(0x00FE, 0x0107)) | {0x0111, 0x0115, 0x0116, 0x0117, 0x011C, 0x0153}
_PNG_AUTHOR_TEXT = ("Title", "Author", "Copyright", "Description")
# Repetitions that could overlap are bounded: 200 KB of spaces kept the unbounded ones for 75 s.
_XMP_GPS = re.compile(
    rb"""\sexif:GPS\w{1,40}\s{0,9}=\s{0,9}("[^"]*"|'[^']*')"""
    rb"""|<exif:GPS(\w{1,40})\b[^<]{0,4000}</exif:GPS\2>"""
)
# Pixels upright -> as stored: the transposition that undoes each EXIF orientation.
_TO_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class LayerFormat:
    """How a layer is encoded: Pillow's format name, the suffix, and whether pixels are exact."""

    name: str
    suffix: str
    lossless: bool


def layer_format(picture: Picture, source: Path) -> LayerFormat:
    """Returns the format that layers of `picture`, read from `source`, are saved in."""
    name = picture.header.format
    palette = picture.header.mode in ("P", "PA", "1")
    if name == "GIF" or (palette and name in ("TIFF", "BMP", "PNG")):
        return LayerFormat("PNG", ".png", lossless=True)
    if name == "BMP" and picture.alpha is not None:
        return LayerFormat("PNG", ".png", lossless=True)
    lossless = name in ("PNG", "TIFF", "BMP") or (name == "WEBP" and _webp_is_lossless(source))
    return LayerFormat(name, picture.header.suffix, lossless)


def save_layer(
    pixels: NDArray[np.uint8],
    picture: Picture,
    path: Path,
    how: LayerFormat,
    *,
    edit_xmp: EditXmp = lambda xmp: xmp,
) -> None:
    """Writes `pixels`, upright uint8 (H, W, 3), with what `picture` carries beside its pixels.

    `edit_xmp` gets the picture's XMP packet, None = none, and returns the one to write.
    The file appears under `path` whole or not at all.

    Raises:
        RunnerError: the encoder refused the picture.
    """
    image = Image.fromarray(_with_alpha(pixels, picture.alpha))
    if picture.orientation in _TO_STORED:
        image = image.transpose(_TO_STORED[picture.orientation])
    with atomic_path(path) as temporary:
        try:
            image.save(temporary, format=how.name, **_encoder_options(picture, how, edit_xmp))
        except OSError as error:
            reason = error.strerror or error
            raise RunnerError(f"the layer cannot be saved as {how.name}: {reason}") from error
        except (ValueError, TypeError, struct.error) as error:
            raise RunnerError(f"the layer cannot be saved as {how.name}: {error}") from error


def _with_alpha(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    import numpy as np

    return pixels if alpha is None else np.dstack([pixels, alpha])


def _encoder_options(picture: Picture, how: LayerFormat, edit_xmp: EditXmp) -> dict[str, Any]:
    options = _carried_metadata(picture, how, edit_xmp)
    if how.name == "JPEG":
        options |= {"quality": LOSSY_QUALITY, "subsampling": 0}
    elif how.name == "WEBP" and how.lossless:
        options |= {"lossless": True, "exact": True, "quality": 50, "method": 2}
    elif how.name == "WEBP":
        options |= {"quality": LOSSY_QUALITY, "exact": True}
    elif how.name == "AVIF":
        options |= {"quality": LOSSY_QUALITY, "subsampling": "4:4:4", "speed": 8}
    elif how.name == "PNG":
        options |= {"compress_level": 3}
    elif how.name == "TIFF" and not picture.exif.get_ifd(_EXIF_IFD):
        # Pillow compresses through libtiff, which drops the camera's directory.
        options |= {"compression": "tiff_adobe_deflate"}
    return options


def _carried_metadata(picture: Picture, how: LayerFormat, edit_xmp: EditXmp) -> dict[str, Any]:
    """ICC profile, EXIF, XMP, resolution and PNG author text, each where the format can hold it."""
    info = picture.info
    options: dict[str, Any] = {}
    if (profile := rgb_profile(info.get("icc_profile"))) and how.name != "BMP":
        options["icc_profile"] = profile
    if how.name != "BMP" and (exif := _cleaned_exif(picture)):
        options["exif"] = exif
    if isinstance(info.get("dpi"), tuple) and how.name in ("JPEG", "PNG", "TIFF", "BMP"):
        options["dpi"] = tuple(float(value) for value in info["dpi"])
    xmp = edit_xmp(_cleaned_xmp(info))
    if how.name == "PNG":
        options["pnginfo"] = _png_text(info, xmp)
    elif how.name == "TIFF" and xmp:
        directory = TiffImagePlugin.ImageFileDirectory_v2()
        directory[_XMP_TIFF_TAG] = xmp
        options["tiffinfo"] = directory
    elif how.name in ("JPEG", "WEBP", "AVIF") and xmp:
        options["xmp"] = xmp
    return options


def rgb_profile(profile: object) -> bytes | None:
    """Returns `profile` if it is one of RGB; that of grey or CMYK would be wrong on saved RGB."""
    if isinstance(profile, bytes) and profile[16:20] == b"RGB ":
        return profile
    return None


def _cleaned_exif(picture: Picture) -> bytes | None:
    exif = Image.Exif()
    for tag, value in picture.exif.items():
        dropped = (_EXIF_IFD, _GPS_IFD, _XMP_TIFF_TAG, *_LAYOUT_TAGS)
        if tag not in dropped and _can_be_written(tag, value):
            exif[tag] = value
    camera = {
        tag: value
        for tag, value in picture.exif.get_ifd(_EXIF_IFD).items()
        if _can_be_written(tag, value)
    }
    if camera:
        exif[_EXIF_IFD] = camera
    if picture.orientation != 1:
        exif[_ORIENTATION] = picture.orientation
    elif _ORIENTATION in exif:
        exif[_ORIENTATION] = 1
    written = exif.tobytes() if len(exif) else b""
    return written if 0 < len(written) <= _EXIF_MAX_BYTES else None


def _can_be_written(tag: int, value: object) -> bool:
    """Cameras write fields of the wrong type, which can be read but not written again."""
    alone = Image.Exif()
    try:
        alone[tag] = value
        alone.tobytes()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, struct.error):
        return False
    return True


def _cleaned_xmp(info: Mapping[Any, Any]) -> bytes | None:
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    return _XMP_GPS.sub(b"", xmp) if isinstance(xmp, bytes) and xmp else None


def _png_text(info: Mapping[Any, Any], xmp: bytes | None) -> PngImagePlugin.PngInfo:
    text = PngImagePlugin.PngInfo()
    for key in _PNG_AUTHOR_TEXT:
        if isinstance(info.get(key), str):
            text.add_itxt(key, str(info[key]))
    if xmp:
        text.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", errors="replace"))
    return text


def _webp_is_lossless(path: Path) -> bool:
    """Whether the first frame is a VP8L chunk (WebP container specification)."""
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            kind, size = head[:4], int.from_bytes(head[4:], "little")
            if kind in (b"VP8L", b"VP8 "):
                return kind == b"VP8L"
            # ANMF holds its own chunks behind 16 bytes; the others are skipped, padded to even.
            file.seek(16 if kind == b"ANMF" else size + size % 2, 1)
    return False
