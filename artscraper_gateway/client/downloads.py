"""Downloads: streamed to a temporary file, verified against the ETag, then renamed."""

from __future__ import annotations

import hashlib
import re
import secrets
from pathlib import Path

import httpx

from .errors import DigestMismatch, UnexpectedResponse
from .models import Layer

_SHA256_TAG = re.compile(r'"([0-9a-f]{64})"')
_STAGE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class PartialDownload:
    """A download in progress; the file appears under its name when it is complete.

    Raises:
        DigestMismatch: from `finish`, if the SHA-256 of the content differs from the ETag.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._digest = hashlib.sha256()
        target.parent.mkdir(parents=True, exist_ok=True)
        self._path = target.with_name(f".incoming-{secrets.token_hex(8)}")
        # tempfile is not used: its files are readable by their owner only.
        self._file = self._path.open("xb")

    def __enter__(self) -> PartialDownload:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Append the next bytes."""
        self._file.write(chunk)
        self._digest.update(chunk)

    def finish(self, response: httpx.Response) -> None:
        """Verify the content against the ETag if that is a SHA-256, and rename the file."""
        match = _SHA256_TAG.fullmatch(response.headers.get("etag", ""))
        digest = self._digest.hexdigest()
        if match and match[1] != digest:
            raise DigestMismatch(
                f"{self._target.name}: expected SHA-256 {match[1]}, found {digest}"
            )
        self._file.close()
        self._path.replace(self._target)


def conditional_header(target: Path) -> dict[str, str]:
    """Return the header that avoids a download if `target` is already there."""
    if not target.is_file():
        return {}
    with target.open("rb") as file:
        return {"If-None-Match": f'"{hashlib.file_digest(file, "sha256").hexdigest()}"'}


def layer_name(index: int, layer: Layer) -> str:
    """Return the file name of a layer, such as 03-mist.jpg; raises UnexpectedResponse."""
    if _STAGE.fullmatch(layer.stage) is None:
        raise UnexpectedResponse(f"{layer.stage[:80]!r} is not a valid name of a stage")
    return f"{index:02d}-{layer.stage}{layer.suffix}"


_SAME_FORMAT = {".jpeg": ".jpg", ".tiff": ".tif"}


def same_format(target: Path, suffix: str) -> bool:
    """Return whether the suffixes of `target` and `suffix` name one format."""
    current = target.suffix.lower()
    return _SAME_FORMAT.get(current, current) == suffix
