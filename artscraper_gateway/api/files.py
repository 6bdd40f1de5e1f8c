"""Serve a file that does not change: ETag, If-None-Match, Range (RFC 9110)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import BinaryIO

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from artscraper_gateway.api.content_tags import content_tag
from artscraper_gateway.errors import NotFound, UnsatisfiableRange

_ONE_RANGE = re.compile(r"bytes=\s*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))\s*", re.IGNORECASE)
_CHUNK_BYTES = 1 << 17


def serve_file(
    request: Request,
    path: Path,
    *,
    media_type: str,
    filename: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Returns the file at `path`, the part of it that is asked for, or 304. Blocks.

    The file is open before the answer begins: deleted meanwhile, it is still sent whole.
    Ranges other than a single one are ignored, as RFC 9110 allows.

    Raises:
        NotFound: there is no such file any more.
        UnsatisfiableRange: the range begins behind the file's end.
    """
    try:
        found = path.stat()
        tag = content_tag(path, found)
        shown = {**_headers(found, tag, filename), **(headers or {})}
        if _is_known(", ".join(request.headers.getlist("if-none-match")), tag):
            return Response(status_code=304, headers=shown)
        status, part = 200, range(found.st_size)
        if (asked := _asked_part(request, tag, found.st_size)) is not None:
            status, part = 206, asked
            shown["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{found.st_size}"
        shown["Content-Length"] = str(len(part))
        chunks = iter(()) if request.method == "HEAD" else _read(path.open("rb"), part)
    except FileNotFoundError as error:
        raise NotFound("The picture is no longer on the server's disk.") from error
    return StreamingResponse(chunks, status, shown, media_type)


def _headers(found: os.stat_result, tag: str, filename: str) -> dict[str, str]:
    return {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",  # may be kept, but the job may have been deleted
        "Content-Disposition": f'inline; filename="{filename}"',
        "ETag": tag,
        "Last-Modified": formatdate(found.st_mtime, usegmt=True),
        "X-Content-Type-Options": "nosniff",
    }


def _is_known(if_none_match: str, tag: str) -> bool:
    """Compared weakly, as RFC 9110 has it for this header."""
    tags = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    return "*" in tags or tag in tags


def _asked_part(request: Request, tag: str, size: int) -> range | None:
    """Which of the file's `size` bytes are asked for; None where no part can be meant."""
    match = _ONE_RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or request.method != "GET" or request.headers.get("if-range", tag) != tag:
        return None
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
    """The bytes of `part` in chunks. Closes the file, at the end or when it is given up."""
    with file:
        file.seek(part.start)
        left = len(part)
        while left > 0:
            chunk = file.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise OSError(f"{file.name} is shorter than it was")
            left -= len(chunk)
            yield chunk
