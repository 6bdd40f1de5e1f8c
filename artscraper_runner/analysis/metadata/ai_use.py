"""Declarations about the use by AI: the XMP field plus:DataMining, and a C2PA manifest.

Sources: PLUS LDF 2.0.1 vocabulary for Data Mining; C2PA 2.1, JUMBF (ISO/IEC 19566-5).
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path

from artscraper_runner.analysis.metadata.json_values import clean_text
from artscraper_runner.types import Json

NOT_CHECKED = "not checked"
UNREADABLE = "unreadable"
_XMP_MAX_BYTES = 1 << 20
# As an attribute, as an element's text, or as an element's rdf:resource; any namespace prefix.
# Every repetition is bounded, so that no text makes the search slow.
_DATA_MINING = re.compile(
    rb""":DataMining\b(?:\s{0,9}=\s{0,9}["']([^"'<]{1,300})["']"""
    rb"""|[^<>]{0,200}?rdf:resource\s{0,9}=\s{0,9}["']([^"'<]{1,300})["']"""
    rb"""|[^<>]{0,200}>([^<]{1,300})<)"""
)
# A JUMBF superbox with the description type of a C2PA manifest store.
_C2PA_STORE = re.compile(
    rb"jumb[\x00-\xff]{4}jumdc2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71", re.S
)
# No content of a picture may make this machine open a connection.
_C2PA_SETTINGS = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


def data_mining(xmp: bytes) -> str | None:
    """Return the value of `plus:DataMining`, as "DMI-PROHIBITED-AIMLTRAINING"; None without."""
    match = _DATA_MINING.search(xmp[:_XMP_MAX_BYTES])
    if match is None:
        return None
    value = next(group for group in match.groups() if group is not None)
    return clean_text(value.decode("utf-8", errors="replace")).strip().rpartition("/")[2] or None


def c2pa_statement(path: Path) -> Json:
    """Return `{"manifest": bool, "validation_state": ...}` of the manifest embedded at `path`.

    The state is c2pa-python's ("Valid", "Trusted", "Invalid"), "not checked" where that package is
    not installed, "unreadable" where it refuses the manifest, None without a manifest.
    """
    if not _has_store(path):
        return {"manifest": False, "validation_state": None}
    return {"manifest": True, "validation_state": _validation_state(path)}


def _has_store(path: Path) -> bool:
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _C2PA_STORE.search(data) is not None


def _validation_state(path: Path) -> str:
    try:
        import c2pa
    except ImportError:
        return NOT_CHECKED
    try:
        with (
            path.open("rb") as file,
            c2pa.Context.from_dict(_C2PA_SETTINGS) as context,
            c2pa.Reader(None, file, None, context) as reader,
        ):
            return str(reader.get_validation_state() or UNREADABLE)
    except c2pa.C2paError:
        return UNREADABLE
