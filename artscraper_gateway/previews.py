"""Small copies of layers, made once each and kept with the job until it is deleted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from anyio.to_thread import run_sync

from artscraper_gateway.errors import NotFound
from artscraper_gateway.picture_processes import PictureProcesses

MEDIA_TYPES = {".webp": "image/webp", ".jpg": "image/jpeg"}
_KEPT = 64  # of one job; a caller who asks for every size there is must not fill the disk


@dataclass
class Previews:
    """Makes previews by `python -m artscraper_runner preview`, at most two at a time.

    Layer `original` is what a stranger sent, and may never have been decoded: so each preview is
    made in a process of its own, with limits on its memory and time.
    """

    _processes: PictureProcesses = field(default_factory=lambda: PictureProcesses(waiting=64))
    _making: dict[Path, asyncio.Lock] = field(default_factory=dict)

    async def find_or_make(self, layer: Path, folder: Path, *, size: int, suffix: str) -> Path:
        """Returns the copy of `layer` whose longer side is `size` px at most, kept in `folder`.

        Two that ask for the same one wait for one process. `suffix` is one of MEDIA_TYPES.

        Raises:
            BrokenPicture: the layer cannot be decoded.
            NotFound: the job was deleted meanwhile.
            TooBusy: too many others wait.
        """
        path = folder / f"{layer.parent.name}-{size}{suffix}"
        lock = self._making.setdefault(path, asyncio.Lock())
        try:
            async with lock:
                if not await run_sync(path.is_file):
                    await self._make(layer, path, size)
        finally:
            if not lock.locked():
                self._making.pop(path, None)
        return path

    async def _make(self, layer: Path, path: Path, size: int) -> None:
        await run_sync(_make_room, path.parent)
        await self._processes.run("preview", str(layer), f"--out={path}", f"--size={size}")


def _make_room(folder: Path) -> None:
    """Makes the folder, but not that of a deleted job; the oldest previews go."""
    try:
        folder.mkdir(exist_ok=True)
    except FileNotFoundError as error:
        raise NotFound("The job is being deleted.") from error
    kept = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
    for path in kept[: max(0, len(kept) - _KEPT + 1)]:
        path.unlink(missing_ok=True)
