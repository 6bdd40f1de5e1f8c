"""File names of downloads, and the Content-Disposition header that carries them (RFC 6266)."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath
from urllib.parse import quote

from artscraper_gateway.jobs.models import Job

_NAMELESS = "picture"


def stem_of(name: str | None) -> str:
    """Return the first part of a download's name, from the name of the upload if it is known."""
    return PurePosixPath(name).stem if name else _NAMELESS


def download_stem(job: Job) -> str:
    """Return the first part of the names of a job's downloads."""
    return (
        stem_of(job.request.upload_name) if job.request.upload_name else f"{_NAMELESS}-{job.id[:8]}"
    )


def layer_name(stem: str, *, index: int, is_final: bool, suffix: str) -> str:
    """Return the name of a layer's download; never of its stage, which would reveal the mark.

    Args:
        stem: as `download_stem`.
        index: position of the layer, 0 = the original.
        is_final: whether it is the last layer.
        suffix: of the file, such as `.jpg`.
    """
    if index == 0:
        return f"{stem}-original{suffix}"
    return f"{stem}-protected{suffix}" if is_final else f"{stem}-layer-{index}{suffix}"


def content_disposition(kind: str, filename: str) -> str:
    """Return a Content-Disposition value: ASCII for old clients, UTF-8 for the others."""
    folded = unicodedata.normalize("NFKD", filename).encode("ascii", "ignore").decode()
    plain = "".join(c if c.isalnum() or c in "._- ()[]+,=@!" else "_" for c in folded)
    stem, dot, suffix = plain.rpartition(".")
    plain = (stem.lstrip("_-. ") or _NAMELESS) + dot + suffix
    value = f'{kind}; filename="{plain}"'
    return value if plain == filename else f"{value}; filename*=UTF-8''{quote(filename, safe='')}"
