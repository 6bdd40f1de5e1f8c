"""Open a file that a caller names by its path on this machine, inside the allowed folders only.

For POSIX systems. A hard link made inside a root is a file of that root: who may write there may
hand in what they can link.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import BinaryIO

from artscraper_gateway.errors import UnusableLocalPath
from artscraper_gateway.intake.bounded_file import CHUNK_BYTES, bounded_file

MAX_PATH_BYTES = 4096  # Linux's PATH_MAX
_FOLDER_FLAGS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: should a FIFO take the file's place after the check, opening it must not wait.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def open_local(path: str, *, roots: Sequence[Path], cwd: Path) -> BinaryIO:
    """Return the regular file that `path` names, open for reading in binary.

    Symbolic links are resolved first, and their target must be inside a root. Then the file
    is opened from the root downwards, following no link, so that no link can be added after the
    check. `~` and variables are not expanded. Runs blocking calls.

    `path` and `roots` may be relative to `cwd`. Roots may be links; missing ones are passed over.

    Raises:
        UnusableLocalPath: always with the same detail, be it missing, outside, unreadable or not a
            regular file.
    """
    try:
        root, parts = _place(path, roots=roots, cwd=cwd)
        return os.fdopen(_open_below(root, parts), "rb")
    except (OSError, ValueError, RecursionError) as exc:
        raise _unusable() from exc


async def copy_local(
    path: str, destination: Path, *, roots: Sequence[Path], cwd: Path, max_bytes: int
) -> int:
    """Copy the file that `path` names to `destination` and return its size in bytes, from 0.

    After a failure no file is left, and an earlier one at `destination` is as it was.

    Raises:
        UnusableLocalPath: see `open_local`; or the file cannot be read to its end.
        TooLarge: more than `max_bytes`, counted while copying.
        StorageFailed: the disk would not take it.
    """
    with (
        bounded_file(destination, max_bytes=max_bytes) as file,
        await asyncio.to_thread(open_local, path, roots=roots, cwd=cwd) as source,
    ):
        file.check_size(os.fstat(source.fileno()).st_size)
        while chunk := await _read(source):
            await file.write(chunk)
        return file.written


async def _read(source: BinaryIO) -> bytes:
    try:
        return await asyncio.to_thread(source.read, CHUNK_BYTES)
    except OSError as exc:
        raise _unusable() from exc


def _place(path: str, *, roots: Sequence[Path], cwd: Path) -> tuple[str, tuple[str, ...]]:
    if not path or len(path.encode("utf-8")) > MAX_PATH_BYTES:
        raise ValueError("empty or too long")
    (cwd / path).stat()  # the kernel stops after 40 links; realpath would follow thousands
    resolved = PurePath(os.path.realpath(cwd / path, strict=True))
    for root in roots:
        real_root = os.path.realpath(cwd / root)
        if resolved.is_relative_to(real_root):
            return real_root, resolved.relative_to(real_root).parts
    raise ValueError("outside the roots")


def _open_below(root: str, parts: tuple[str, ...]) -> int:
    if not parts:
        raise ValueError("the root itself")
    folder = os.open(root, _FOLDER_FLAGS)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER_FLAGS, dir_fd=folder)
            os.close(folder)
            folder = inner
        return _open_regular(parts[-1], folder=folder)
    finally:
        os.close(folder)


def _open_regular(name: str, *, folder: int) -> int:
    # Looked at before it is opened: opening alone sets some devices in motion.
    before = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(before.st_mode):
        raise ValueError("not a regular file")
    opened = os.open(name, _FILE_FLAGS, dir_fd=folder)
    after = os.fstat(opened)
    if stat.S_ISREG(after.st_mode) and os.path.samestat(before, after):
        return opened
    os.close(opened)
    raise ValueError("replaced while it was opened")


def _unusable() -> UnusableLocalPath:
    return UnusableLocalPath(
        "The local path cannot be used: it must name a readable picture file inside one of the "
        "folders that this gateway was set up to read from."
    )
