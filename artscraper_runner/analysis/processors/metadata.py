"""Metadata of the file: format, size, EXIF, colour profile, text, AI use."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from PIL import ImageCms

from artscraper_runner.analysis.metadata.ai_use import c2pa_statement, data_mining
from artscraper_runner.analysis.metadata.exif_fields import exif_fields
from artscraper_runner.analysis.metadata.json_values import FIELDS_MAX, clean_text, json_value
from artscraper_runner.analysis.processors import DecodedPicture
from artscraper_runner.imaging.decode import PNG_XMP
from artscraper_runner.options import AnalysisOptions
from artscraper_runner.types import Json, Project

PROJECT = Project("Pillow", "opens, decodes and saves the pictures; reads their metadata")


def process(picture: DecodedPicture, options: AnalysisOptions) -> Json:
    """Return the file's own statements, JSON-safe whatever they hold; sizes in px and bytes."""
    header, info = picture.header, picture.image.info
    xmp = picture.xmp or b""
    return {
        "format": header.format,
        "width": header.width,
        "height": header.height,
        "mode": header.mode,
        "frames": header.frames,
        "file_size": picture.path.stat().st_size,
        "orientation": picture.orientation,
        "dpi": json_value(info.get("dpi")),
        "icc_profile": _profile_name(info.get("icc_profile")),
        "exif": exif_fields(picture.exif),
        "text": _text(header.format, info),
        "xmp": json_value(xmp) if xmp else None,
        "ai_use": {"data_mining": data_mining(xmp), "c2pa": c2pa_statement(picture.path)},
    }


def _text(format_name: str, info: dict[Any, Any]) -> Json:
    """PNG's text chunks, and the comment of a JPEG or GIF."""
    fields: Json = {}
    if format_name == "PNG":
        for key, value in list(info.items())[:FIELDS_MAX]:
            if isinstance(value, str) and key != PNG_XMP:
                fields[clean_text(str(key))] = clean_text(value)
    elif info.get("comment"):
        fields["comment"] = json_value(info["comment"])
    return fields


def _profile_name(profile: object) -> str | None:
    if not isinstance(profile, bytes) or not profile:
        return None
    try:
        opened = ImageCms.ImageCmsProfile(BytesIO(profile))
        return clean_text(str(ImageCms.getProfileDescription(opened))).strip()
    except (ImageCms.PyCMSError, OSError, ValueError):
        return "unreadable"
