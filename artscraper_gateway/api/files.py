"""Serve a file that does not change: its name, and conditions and ranges of RFC 9110."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from artscraper_gateway.errors import NotFound, PreconditionFailed, UnsatisfiableRange
from artscraper_gateway.jobs.models import Job

_ONE_RANGE = re.compile(r"bytes=\s*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))\s*", re.IGNORECASE)
_CHUNK_BYTES = 1 << 17
_NAMELESS = "picture"
_CACHED_TAGS = 4096  # files; a tag and its key take about 300 bytes


def serve_file(
    request: Request,
    path: Path,
    *,
    media_type: str,
    filename: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the file at `path`, the requested part of it, or 304. Blocks.

    The file is opened before the answer begins: deleted meanwhile, it is still sent whole.
    Ranges other than a single one are ignored, as RFC 9110 allows. Conditions and ranges count
    for GET and HEAD only.

    Raises:
        NotFound: there is no such file any more.
        PreconditionFailed: the request is for another version of the file.
        UnsatisfiableRange: the range begins behind the file's end.
    """
    try:
        stat = path.stat()
        tag = _tag(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        fields = {**_headers(stat, tag, filename), **(headers or {})}
        if request.method in ("GET", "HEAD"):
            _check_preconditions(request, tag, int(stat.st_mtime))
            if _is_not_modified(request, tag, int(stat.st_mtime)):
                return Response(status_code=304, headers=fields)
        status, part = 200, range(stat.st_size)
        if (requested := _requested_part(request, tag, stat)) is not None:
            status, part = 206, requested
            fields["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{stat.st_size}"
        fields["Content-Length"] = str(len(part))
        chunks = iter(()) if request.method == "HEAD" else _read(path.open("rb"), part)
    except FileNotFoundError as error:
        raise NotFound("The picture is no longer on the server's disk.") from error
    return StreamingResponse(chunks, status, fields, media_type)


@lru_cache(maxsize=_CACHED_TAGS)
def _tag(path: Path, _inode: int, _size: int, _modified_ns: int) -> str:
    """Return the strong ETag of the file: its SHA-256, quoted."""
    with path.open("rb") as file:
        return f'"{hashlib.file_digest(file, "sha256").hexdigest()}"'


def _headers(stat: os.stat_result, tag: str, filename: str) -> dict[str, str]:
    return {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",  # may be stored, but the job may have been deleted
        "Content-Disposition": content_disposition("inline", filename),
        "ETag": tag,
        "Last-Modified": formatdate(int(stat.st_mtime), usegmt=True),
        "X-Content-Type-Options": "nosniff",
    }


def _check_preconditions(request: Request, tag: str, modified_at: int) -> None:
    """Evaluate If-Match (strong comparison), else If-Unmodified-Since."""
    if_match = ", ".join(request.headers.getlist("if-match"))
    if if_match:
        tags = {part.strip() for part in if_match.split(",")}
        if "*" not in tags and tag not in tags:
            raise PreconditionFailed("If-Match names none of the file's versions.")
        return
    since = _http_date(request.headers.get("if-unmodified-since"))
    if since is not None and modified_at > since:
        raise PreconditionFailed("The file was modified after the date of If-Unmodified-Since.")


def _is_not_modified(request: Request, tag: str, modified_at: int) -> bool:
    """Evaluate If-None-Match (weak comparison), else If-Modified-Since."""
    if_none_match = ", ".join(request.headers.getlist("if-none-match"))
    if if_none_match:
        tags = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
        return "*" in tags or tag in tags
    since = _http_date(request.headers.get("if-modified-since"))
    return since is not None and modified_at <= since


def _http_date(header: str | None) -> float | None:
    """Return the moment of an HTTP date; None if it cannot be read, which means to ignore it."""
    try:
        return parsedate_to_datetime(header).timestamp() if header else None
    except (TypeError, ValueError, OverflowError):
        return None


def _requested_part(request: Request, tag: str, stat: os.stat_result) -> range | None:
    """Return the bytes that the Range header requests; None for the whole file."""
    match = _ONE_RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or request.method != "GET":
        return None
    if_range = request.headers.get("if-range", tag)
    if if_range != tag and _http_date(if_range) != int(stat.st_mtime):
        return None
    size = stat.st_size
    first, last, last_bytes = match.groups()
    begins = int(first) if first else max(0, size - int(last_bytes))
    ends = min(int(last) + 1, size) if last else size
    if last and int(last) < begins:
        return None
    if begins >= size:
        raise UnsatisfiableRange(
            f"The file has {size} bytes; the range begins behind its end.",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return range(begins, ends)


def _read(file: BinaryIO, part: range) -> Iterator[bytes]:
    """Yield the bytes of `part` in chunks; close the file at the end or on cancellation."""
    with file:
        file.seek(part.start)
        left = len(part)
        while left > 0:
            chunk = file.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise OSError(f"{file.name} is shorter than it was")
            left -= len(chunk)
            yield chunk


def download_stem(job: Job, name: str | None = None) -> str:
    """Return the first part of the names of a job's downloads, from the upload's name if known."""
    name = name or job.request.upload_name
    return PurePosixPath(name).stem if name else f"{_NAMELESS}-{job.id[:8]}"


def layer_name(stem: str, *, index: int, is_final: bool, suffix: str) -> str:
    """Return the name of a layer's download; never of its stage, which would reveal the mark.

    `stem` is as of `download_stem`, and the layer of `index` 0 is the original.
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
