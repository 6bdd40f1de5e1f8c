"""What the file says about itself: format, size, EXIF, colour profile, text, resolution."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

from artscraper_runner.processors import DecodedPicture
from artscraper_runner.types import AnalysisOptions, Json, Project

PROJECT = Project("Pillow", "opens, decodes and saves the pictures; reads their metadata")
_TEXT_MAX = 2_000  # characters of any one value
_SUB_DIRECTORIES = {"Exif": ExifTags.IFD.Exif, "GPS": ExifTags.IFD.GPSInfo}


def process(picture: DecodedPicture, options: AnalysisOptions) -> Json:
    """Returns the file's own statements, JSON-safe whatever they hold; sizes in px and bytes."""
    header, info = picture.header, picture.image.info
    return {
        "format": header.format,
        "width": header.width,
        "height": header.height,
        "mode": header.mode,
        "frames": header.frames,
        "file_size": picture.path.stat().st_size,
        "dpi": _json_safe(info.get("dpi")),
        "icc_profile": _profile_name(info.get("icc_profile")),
        "exif": _exif(picture.exif),
        "text": {
            str(key): _json_safe(value)
            for key, value in info.items()
            if isinstance(value, str) and key != "XML:com.adobe.xmp"
        },
        "xmp": _json_safe(info.get("xmp") or info.get("XML:com.adobe.xmp")),
    }


def _exif(exif: Image.Exif) -> Json:
    fields = {_name(tag, ExifTags.TAGS): _json_safe(value) for tag, value in exif.items()}
    for label, directory in _SUB_DIRECTORIES.items():
        names = ExifTags.GPSTAGS if label == "GPS" else ExifTags.TAGS
        try:
            entries = exif.get_ifd(directory)
        except (ValueError, TypeError, KeyError, OSError, SyntaxError):
            continue  # a damaged directory says nothing; the others still do
        if entries:
            fields[label] = {_name(tag, names): _json_safe(entries[tag]) for tag in entries}
    return fields


def _name(tag: int, names: Mapping[int, str]) -> str:
    return names.get(tag, f"0x{tag:04x}")


def _json_safe(value: Any) -> Any:
    """Numbers stay numbers, bytes become text where they are, everything else is described."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, TiffImagePlugin.IFDRational | float):
        number = float(value) if getattr(value, "denominator", 1) else None
        return number if number is None or abs(number) < float("inf") else None
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")[:_TEXT_MAX]
    if isinstance(value, tuple | list):
        return [_json_safe(item) for item in value[:64]]
    if isinstance(value, Mapping):
        return {str(key): _json_safe(item) for key, item in list(value.items())[:256]}
    return str(value)[:_TEXT_MAX]


def _profile_name(profile: object) -> str | None:
    if not isinstance(profile, bytes):
        return None
    try:
        return str(
            _json_safe(ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile))))
        ).strip()
    except (ImageCms.PyCMSError, OSError):
        return "unreadable"
