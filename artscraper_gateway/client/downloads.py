"""Files on their way to disk: streamed under another name, compared with the ETag, then named."""

from __future__ import annotations

import hashlib
import re
import secrets
from pathlib import Path
from types import TracebackType

import httpx

from artscraper_gateway.client.errors import DigestMismatch, UnexpectedAnswer
from artscraper_gateway.client.models import Layer

_SHA256_TAG = re.compile(r'"([0-9a-f]{64})"')
_STAGE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class Incoming:
    """A file that is being received; it takes its name when it is whole, and leaves nothing else.

    Raises:
        DigestMismatch: from `finish`, when the bytes are not those that the ETag names.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._digest = hashlib.sha256()
        target.parent.mkdir(parents=True, exist_ok=True)
        self._path = target.with_name(f".incoming-{secrets.token_hex(8)}")
        # Unlike tempfile's, with the permissions that the user's other files get.
        self._file = self._path.open("xb")

    def __enter__(self) -> Incoming:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Takes the next bytes."""
        self._file.write(chunk)
        self._digest.update(chunk)

    def finish(self, response: httpx.Response) -> None:
        """Checks what came against the answer's ETag, where that is a SHA-256, and names it."""
        match = _SHA256_TAG.fullmatch(response.headers.get("etag", ""))
        if match and match[1] != self._digest.hexdigest():
            raise DigestMismatch(
                f"{self._target.name}: expected SHA-256 {match[1]}, got {self._digest.hexdigest()}"
            )
        self._file.close()
        self._path.replace(self._target)


def known_tag(target: Path) -> dict[str, str]:
    """Returns the header that spares a download of what already lies at `target`."""
    if not target.is_file():
        return {}
    with target.open("rb") as file:
        return {"If-None-Match": f'"{hashlib.file_digest(file, "sha256").hexdigest()}"'}


def layer_name(index: int, layer: Layer) -> str:
    """Returns the file name for a layer, such as 03-mist.jpg. Raises UnexpectedAnswer."""
    if _STAGE.fullmatch(layer.stage) is None:
        raise UnexpectedAnswer(f"a layer has the name {layer.stage[:80]!r}, which no stage has")
    return f"{index:02d}-{layer.stage}{layer.suffix}"
