"""A file that takes at most so many bytes and appears whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from artscraper_gateway.errors import TooLarge
from artscraper_gateway.storage.base import as_storage_failure

CHUNK_BYTES = 256 * 1024


class BoundedFile:
    """Counts the bytes `written` to `path`. Created by `bounded_file`."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self.written = 0
        self._max_bytes = max_bytes
        with as_storage_failure():
            # Buffered on purpose: its lock makes close() wait for a write that still runs in a
            # thread after its task was cancelled.
            self._file = path.open("wb")

    def check_size(self, size: int) -> None:
        """Raise TooLarge if `size`, in bytes and in all, is more than the limit."""
        if size > self._max_bytes:
            raise oversized(self._max_bytes)

    def append(self, chunk: bytes) -> None:
        """Append `chunk`; for callers that may block.

        Raises:
            TooLarge: with it the file would pass its limit; nothing of it is written.
            StorageFailed: the disk would not take it.
        """
        self.check_size(self.written + len(chunk))
        with as_storage_failure():
            self._file.write(chunk)
        self.written += len(chunk)

    async def write(self, chunk: bytes) -> None:
        """Append `chunk` without blocking the event loop; raises as `append` does."""
        await asyncio.to_thread(self.append, chunk)

    def close(self) -> None:
        """Close the file. Raises StorageFailed when the disk would not take the rest."""
        with as_storage_failure():
            self._file.close()


@contextmanager
def bounded_file(destination: Path, *, max_bytes: int) -> Iterator[BoundedFile]:
    """Yield a file that becomes `destination`, replacing it, when the block ends without error.

    Until then the bytes are in `<destination>.part` beside it. After any error, cancellation
    included, that is gone and `destination` is as it was.

    Only the gateway may write to the folder of `destination`, which exists.

    Raises:
        StorageFailed: the file cannot be made, written or renamed.
    """
    part = destination.with_name(f"{destination.name}.part")
    try:
        file = BoundedFile(part, max_bytes=max_bytes)
        try:
            yield file
        finally:
            file.close()
        with as_storage_failure():
            part.replace(destination)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def oversized(max_bytes: int) -> TooLarge:
    """Return the problem of a picture that has more bytes."""
    return TooLarge(
        f"expected a picture of at most {max_bytes / 1e6:.3g} MB ({max_bytes} bytes), found more;"
        " send a smaller one"
    )
