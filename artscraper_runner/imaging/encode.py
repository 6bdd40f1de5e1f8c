"""Save a layer the way its original was saved, and never worse than the protection can stand.

PNG, lossless WebP, TIFF and BMP stay what they are. GIF and palette pictures cannot carry the
change and become PNG. A JPEG is saved as JPEG of quality 95 with full colour resolution, a lossy
WebP as WebP 95, an AVIF as AVIF 95 (4:4:4). Size, ICC profile, alpha, resolution, orientation,
camera and author fields are kept; GPS is dropped wherever it stands, and so is XMP that cannot be
searched for it, of which `why_xmp_is_left_out` tells.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, PngImagePlugin

from artscraper_runner.errors import RunnerError
from artscraper_runner.imaging.decode import Picture
from artscraper_runner.imaging.exif import CAMERA_IFD, carried_exif, is_resolution
from artscraper_runner.imaging.xmp import MAX_BYTES, without_places
from artscraper_runner.io import atomic_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EditXmp = Callable[[bytes | None], bytes | None]

LOSSY_QUALITY = 95
# One segment of a JPEG, less what stands in it before the content.
_JPEG_EXIF_MAX_BYTES = 65_527
_JPEG_XMP_MAX_BYTES = 65_504
_PNG_AUTHOR_TEXT = ("Title", "Author", "Copyright", "Description")
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

    @property
    def max_xmp_bytes(self) -> int | None:
        """The longest XMP packet that the format holds; None = any."""
        return _JPEG_XMP_MAX_BYTES if self.name == "JPEG" else None


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

    `edit_xmp` gets the picture's XMP packet, None = none, and returns the one to write, which is
    left out where the format cannot hold one of its length. The file appears under `path` whole or
    not at all.

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
        except (ValueError, TypeError, RuntimeError, struct.error) as error:
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
    elif how.name == "TIFF" and not picture.exif.get_ifd(CAMERA_IFD):
        # Pillow compresses through libtiff, which drops the camera's directory.
        options |= {"compression": "tiff_adobe_deflate"}
    return options


def _carried_metadata(picture: Picture, how: LayerFormat, edit_xmp: EditXmp) -> dict[str, Any]:
    """ICC profile, EXIF, XMP, resolution and PNG author text, each where the format can hold it."""
    info = picture.info
    options: dict[str, Any] = {}
    if (profile := rgb_profile(info.get("icc_profile"))) and how.name != "BMP":
        options["icc_profile"] = profile
    if (dpi := _resolution(info)) and how.name in ("JPEG", "PNG", "TIFF", "BMP"):
        options["dpi"] = dpi
    xmp = _edited_xmp(picture, how, edit_xmp)
    if exif := _exif(picture, how, xmp):
        options["exif"] = exif
    if how.name == "PNG":
        options["pnginfo"] = _png_text(info, xmp)
    elif how.name in ("JPEG", "WEBP", "AVIF") and xmp:
        options["xmp"] = xmp
    return options


def _resolution(info: Mapping[Any, Any]) -> tuple[float, float] | None:
    dpi = info.get("dpi")
    if isinstance(dpi, tuple) and len(dpi) == 2 and all(is_resolution(value) for value in dpi):
        return float(dpi[0]), float(dpi[1])
    return None


def _exif(picture: Picture, how: LayerFormat, xmp: bytes | None) -> bytes | None:
    if how.name == "BMP":
        return None
    if how.name == "TIFF":
        return carried_exif(picture, xmp=xmp)
    return carried_exif(picture, max_bytes=_JPEG_EXIF_MAX_BYTES if how.name == "JPEG" else None)


def rgb_profile(profile: object) -> bytes | None:
    """Returns `profile` if it is one of RGB; that of grey or CMYK would be wrong on saved RGB."""
    if isinstance(profile, bytes) and profile[16:20] == b"RGB ":
        return profile
    return None


def carried_xmp(picture: Picture) -> bytes | None:
    """Returns the picture's XMP packet without places; None without one that can be searched."""
    packet = _xmp_packet(picture)
    return without_places(packet) if packet else None


def why_xmp_is_left_out(picture: Picture, how: LayerFormat) -> str | None:
    """Return why layers do not carry the picture's own XMP packet; None if nothing is lost."""
    packet = _xmp_packet(picture)
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


def _xmp_packet(picture: Picture) -> bytes | None:
    xmp = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    return xmp if isinstance(xmp, bytes) and xmp else None


def _edited_xmp(picture: Picture, how: LayerFormat, edit_xmp: EditXmp) -> bytes | None:
    xmp = edit_xmp(carried_xmp(picture))
    if xmp is None or (how.max_xmp_bytes is not None and len(xmp) > how.max_xmp_bytes):
        return None
    return xmp


def _png_text(info: Mapping[Any, Any], xmp: bytes | None) -> PngImagePlugin.PngInfo:
    text = PngImagePlugin.PngInfo()
    for key in _PNG_AUTHOR_TEXT:
        if isinstance(info.get(key), str):
            text.add_itxt(key, str(info[key]))
    if xmp:
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
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
