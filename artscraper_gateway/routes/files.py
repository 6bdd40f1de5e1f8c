"""Serve a file that does not change: ETag, If-None-Match, Range (RFC 9110)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from fastapi import Request, Response
from fastapi.responses import FileResponse

from artscraper_gateway.content_tags import content_tag
from artscraper_gateway.errors import NotFound, UnsatisfiableRange

_ONE_RANGE = re.compile(r"bytes=\s*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))\s*", re.IGNORECASE)


def serve_file(
    request: Request,
    path: Path,
    *,
    media_type: str,
    filename: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Returns the file at `path`, the part of it that is asked for, or 304. Blocks.

    Ranges other than a single one are ignored, as RFC 9110 allows.

    Raises:
        NotFound: there is no such file any more.
        UnsatisfiableRange: the range begins behind the file's end.
    """
    try:
        found = path.stat()
        tag = content_tag(path, found)
    except FileNotFoundError as error:
        raise NotFound("The job is being deleted.") from error
    shown = {
        "ETag": tag,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",  # may be kept, but the job may have been deleted
        **(headers or {}),
    }
    if _is_known(", ".join(request.headers.getlist("if-none-match")), tag):
        return Response(status_code=304, headers=shown)
    _settle_range(request, tag, found.st_size)
    return FileResponse(
        path,
        media_type=media_type,
        filename=filename,
        content_disposition_type="inline",
        headers=shown,
        stat_result=found,
    )


def _is_known(if_none_match: str, tag: str) -> bool:
    """Compared weakly, as RFC 9110 has it for this header."""
    tags = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    return "*" in tags or tag in tags


def _settle_range(request: Request, tag: str, size: int) -> None:
    """Refuses a range that cannot be served; takes out what is to be ignored.

    FileResponse looks at the header itself, and answers in plain text what it does not like.
    """
    asked = request.headers.get("range")
    if asked is None:
        return
    match = _ONE_RANGE.fullmatch(asked)
    same_file = request.headers.get("if-range", tag) == tag
    if match is None or not same_file or _is_backwards(match):
        scope = request.scope
        scope["headers"] = [pair for pair in scope["headers"] if pair[0].lower() != b"range"]
        return
    first, _, last_bytes = match.groups()
    begins = int(first) if first else size - int(last_bytes)
    if begins >= size:
        raise UnsatisfiableRange(
            f"The file has {size} bytes; the range begins behind its end.",
            headers={"Content-Range": f"bytes */{size}"},
        )


def _is_backwards(match: re.Match[str]) -> bool:
    first, last, _ = match.groups()
    return bool(first and last and int(last) < int(first))
