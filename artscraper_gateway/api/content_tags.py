"""The SHA-256 of files that do not change any more, read once each."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

_REMEMBERED = 4096  # files; a tag and its key take about 300 bytes


def content_tag(path: Path, found: os.stat_result) -> str:
    """Returns the strong ETag of the file at `path`, whose stat is `found`: its SHA-256, quoted.

    Blocks while a file is read that was not asked for lately.

    Raises:
        OSError: it cannot be read.
    """
    return _tag(path, found.st_ino, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=_REMEMBERED)
def _tag(path: Path, _inode: int, _size: int, _changed_ns: int) -> str:
    with path.open("rb") as file:
        return f'"{hashlib.file_digest(file, "sha256").hexdigest()}"'
