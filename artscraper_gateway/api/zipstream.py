"""Stream folders as one ZIP file, of any size, through a small buffer."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

CHUNK_BYTES = 256 * 1024
_COMPRESSED = (".json",)  # pictures are compressed already
_EARLIEST = (1980, 1, 1, 0, 0, 0)


def stream_zip(folders: Iterable[tuple[str, Path]]) -> Iterator[bytes]:
    """Yield a ZIP of every regular file in the folders, each below its folder's name in the ZIP.

    If the name is empty, the files are at the top. Links and temporary files (`.name`) are
    left out. Blocks while it reads.

    Raises:
        FileNotFoundError: a file is gone by the time it is its turn.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, folder in folders:
            for path in sorted(folder.rglob("*")):
                inside = path.relative_to(folder)
                if not any(part.startswith(".") for part in inside.parts):
                    yield from _member(archive, sink, path, str(Path(name) / inside))
    yield sink.take()


def _member(archive: zipfile.ZipFile, sink: _Sink, path: Path, name: str) -> Iterator[bytes]:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return
    source = path.open("rb")
    entry = zipfile.ZipInfo(name, _EARLIEST)
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    is_text = path.suffix in _COMPRESSED
    entry.compress_type = zipfile.ZIP_DEFLATED if is_text else zipfile.ZIP_STORED
    large = status.st_size > zipfile.ZIP64_LIMIT // 2
    with source, archive.open(entry, "w", force_zip64=large) as target:
        while chunk := source.read(CHUNK_BYTES):
            target.write(chunk)
            yield sink.take()


class _Sink(io.RawIOBase):
    """A sink for `zipfile` that is drained chunk by chunk; it cannot seek, so nothing is stored."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """Return the bytes written since the last call."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken
