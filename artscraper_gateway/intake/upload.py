"""Read a multipart upload within bounds while it streams; make file names safe."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import threading
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from tempfile import SpooledTemporaryFile
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from artscraper_gateway.errors import BodyTooLarge, InvalidRequest, StorageFailed
from artscraper_gateway.intake.bounded_file import CHUNK_BYTES, oversized
from artscraper_gateway.storage.base import as_storage_failure

_MAX_FIELDS = 32
_MAX_FIELD_BYTES = 64 * 1024
_FORM_OVERHEAD_BYTES = 1024 * 1024  # of a body, beside its pictures
_DRAIN_BYTES = 64 * 1024 * 1024
_DRAIN_S = 5.0
MAX_NAME = 100  # characters
_FORM_ESCAPE = re.compile("%(?:0A|0D|22)", re.IGNORECASE)  # of browsers: newlines and quotes
_FORBIDDEN = set("<>:\"/\\|?*#%&'`;$")
_RESERVED = {"con", "prn", "aux", "nul"} | {
    f"{name}{n}" for name in ("com", "lpt") for n in "123456789"
}


@asynccontextmanager
async def uploaded_form(
    request: Request, *, spool: Path, max_bytes: int, max_files: int
) -> AsyncIterator[FormData]:
    """Yield the form of a request; pictures over 1 MiB lie in a nameless file in `spool` meanwhile.

    Raises:
        BodyTooLarge: the body has more than `max_bytes` of pictures and a little beside.
        InvalidRequest: not a well-formed form, cut off before its closing boundary, too many
            parts, or text that is not UTF-8.
        StorageFailed: the disk did not take it.
    """
    bounded = bounded_request(request, max_bytes + _FORM_OVERHEAD_BYTES)
    parser = _FormParser(
        spool,
        bounded.headers,
        bounded.stream(),
        max_files=max_files,
        max_fields=_MAX_FIELDS,
        max_part_size=_MAX_FIELD_BYTES,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InvalidRequest(f"the form cannot be read: {error.message}") from error
    except OSError as error:
        raise StorageFailed("The upload could not be stored; try again later.") from error
    if not parser.has_ended:  # the last field may be missing, and defaults would take its place
        await form.close()
        raise InvalidRequest("the form cannot be read: expected its closing boundary, found none")
    try:
        yield form
    finally:
        await form.close()


class _FormParser(MultiPartParser):
    """Spools files in a folder, and refuses fields that are not UTF-8.

    Starlette would spool in the system's temporary folder, which often is memory, and read other
    fields as Latin-1: other letters.
    """

    has_ended = False  # whether the closing boundary was read

    def __init__(self, spool: Path, *arguments: Any, **limits: Any) -> None:
        super().__init__(*arguments, **limits)
        self._spool = spool

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        upload = self._current_part.file
        if upload is not None:
            upload.file.close()
            file = SpooledTemporaryFile(  # noqa: SIM115  the form closes it
                self.spool_max_size, "w+b", dir=str(self._spool)
            )
            upload.file = file  # type: ignore[assignment]
            self._files_to_close_on_error[-1] = file

    def on_end(self) -> None:
        self.has_ended = True

    def on_part_end(self) -> None:
        part = self._current_part
        if part.file is None:
            try:
                part.data.decode("utf-8")
            except UnicodeDecodeError as error:
                raise MultiPartException(f"{part.field_name[:80]}: expected UTF-8") from error
        super().on_part_end()


def bounded_request(request: Request, max_bytes: int) -> Request:
    """Return the request with a body that raises BodyTooLarge beyond `max_bytes`.

    A Content-Length that is too large is refused at once; a small one is not trusted.

    Raises:
        BodyTooLarge: the stated length alone is too much.
    """
    stated = request.headers.get("content-length", "")
    if stated.isascii() and stated.isdigit() and int(stated[:20]) > max_bytes:
        raise _too_large(max_bytes)
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > max_bytes:
            raise _too_large(max_bytes)
        return message

    return Request(request.scope, receive)


async def drain(request: Request) -> None:
    """Continue reading a refused upload for a while, so that the client sees the response.

    A client that is still sending when the connection closes gets a reset instead of a reason.
    """
    read = 0
    try:
        async with asyncio.timeout(_DRAIN_S):
            while read < _DRAIN_BYTES:
                message = await request.receive()
                read += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
    except (TimeoutError, ClientDisconnect):
        return


class UploadedPicture:
    """A picture of a form. A batch reads one several times, from several threads. Blocks."""

    def __init__(self, upload: UploadFile, *, max_bytes: int) -> None:
        self.file_name = upload.filename
        self._file = upload.file
        self._size = upload.size or 0
        self._max_bytes = max_bytes
        self._lock = threading.Lock()  # the file has one position

    def save(self, destination: Path) -> None:
        """Copy the picture to `destination`, in a folder that is removed after an error.

        Raises:
            TooLarge: it has more than `max_bytes`.
            StorageFailed: it could not be written.
        """
        if self._size > self._max_bytes:
            raise oversized(self._max_bytes)
        with as_storage_failure(), self._lock, destination.open("wb") as file:
            self._file.seek(0)
            shutil.copyfileobj(self._file, file, CHUNK_BYTES)

    def digest(self) -> str:
        """Return the SHA-256 of its bytes in hex digits."""
        sha256 = hashlib.sha256()
        with self._lock:
            self._file.seek(0)
            while chunk := self._file.read(CHUNK_BYTES):
                sha256.update(chunk)
        return sha256.hexdigest()


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"expected a request of at most {max_bytes / 1e6:.1f} MB ({max_bytes} bytes), found more"
    )


def clean_file_name(name: str | None) -> str | None:
    """Return a file name without folders, control characters and marks of writing direction.

    None if nothing distinctive is left.
    """
    text = unicodedata.normalize("NFC", (name or "").replace("\\", "/").rpartition("/")[2])
    text = _FORM_ESCAPE.sub("_", text)
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
