"""Names of uploads as clients send them, made safe to show, to save and to send in a header."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

MAX_NAME = 100  # characters
_FORBIDDEN = set("<>:\"/\\|?*#%&'`;$")
_RESERVED = {"con", "prn", "aux", "nul"} | {
    f"{name}{n}" for name in ("com", "lpt") for n in "123456789"
}


def clean_file_name(name: str | None) -> str | None:
    """Return a file name without folders, control characters and marks of writing direction.

    None if nothing distinctive is left.
    """
    text = unicodedata.normalize("NFC", (name or "").replace("\\", "/").rpartition("/")[2])
    kept = "".join(
        "_" if character in _FORBIDDEN else character
        for character in text
        if unicodedata.category(character)[0] not in "CZ" or character == " "
    )
    kept = " ".join(kept.split()).strip(". ")
    path = PurePosixPath(kept or ".")
    suffix = path.suffix if len(path.suffix) <= 6 else ""
    stem = kept[: len(kept) - len(suffix)].strip(". ")[: MAX_NAME - len(suffix)].strip()
    if not stem.strip("_") or stem.lower() in _RESERVED:
        return None
    return stem + suffix


def name_of_url(url: str) -> str | None:
    """Return the clean file name at the end of a URL's path."""
    try:
        return clean_file_name(unquote(urlsplit(url).path))
    except ValueError:
        return None
