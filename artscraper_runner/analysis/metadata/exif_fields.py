"""EXIF fields by name, JSON-safe whatever is in them."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Any

from PIL import ExifTags, Image

from artscraper_runner.analysis.metadata.json_values import FIELDS_MAX, clean_text, json_value
from artscraper_runner.imaging.formats.container import DECODER_ERRORS, quiet
from artscraper_runner.types import Json

_DIRECTORIES: dict[str, tuple[int, Mapping[int, str]]] = {
    "Exif": (ExifTags.IFD.Exif, ExifTags.TAGS),
    "GPS": (ExifTags.IFD.GPSInfo, ExifTags.GPSTAGS),
}
_POINTERS = frozenset(int(tag) for tag, _ in _DIRECTORIES.values())
_USER_COMMENT = 0x9286
_XP_FIELDS = range(0x9C9B, 0x9CA0)  # XPTitle to XPSubject: Windows writes UTF-16 as bytes
_XMP = 0x02BC  # reported beside EXIF
_CHARSETS = {b"ASCII\0\0\0": "utf-8", b"JIS\0\0\0\0\0": "iso2022_jp"}
_UNICODE = b"UNICODE\0"  # UTF-16 in the byte order of the file, unless a byte order mark differs


def exif_fields(exif: Image.Exif) -> Json:
    """Return the fields by name (`0x....` where there is none), `Exif` and `GPS` nested.

    An unreadable field or directory is left out; the others are kept.
    """
    with quiet():
        utf16 = "utf-16-be" if exif.endian == ">" else "utf-16-le"
        fields = _directory(exif, ExifTags.TAGS, utf16)
        for label, (tag, names) in _DIRECTORIES.items():
            try:
                entries = exif.get_ifd(tag)
            except DECODER_ERRORS:
                continue
            if nested := _directory(entries, names, utf16):
                fields[label] = nested
        return fields


def _directory(entries: Any, names: Mapping[int, str], utf16: str) -> Json:
    fields: Json = {}
    try:
        tags = [tag for tag in list(entries)[:FIELDS_MAX] if tag not in _POINTERS and tag != _XMP]
    except DECODER_ERRORS:
        return fields
    for tag in tags:
        try:
            fields[names.get(tag, f"0x{tag:04x}")] = _field(tag, entries[tag], utf16)
        except DECODER_ERRORS:
            continue
    return fields


def _field(tag: int, value: Any, utf16: str) -> Any:
    if tag in _XP_FIELDS and isinstance(value, bytes | tuple):
        return clean_text(bytes(value).decode("utf-16-le", errors="replace"))
    if tag == _USER_COMMENT and isinstance(value, bytes) and len(value) >= 8:
        return _user_comment(value[:8], value[8:], utf16)
    if isinstance(value, str):
        return clean_text(_as_utf8(value))
    return json_value(value)


def _user_comment(charset: bytes, text: bytes, utf16: str) -> Any:
    if charset == _UNICODE:
        marked = text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return clean_text(text.decode("utf-16" if marked else utf16, errors="replace")).strip()
    if charset in _CHARSETS:
        return clean_text(text.decode(_CHARSETS[charset], errors="replace")).strip()
    return json_value(charset + text)


def _as_utf8(text: str) -> str:
    """Decode text as UTF-8: Pillow reads Latin-1, but most non-ASCII text is UTF-8."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
