"""Small copies of layers, made once each and kept with the job until it is deleted.

`python -m artscraper_gateway.sandbox.previews LAYER FILE SIZE LIMITS` makes one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from anyio.to_thread import run_sync

from artscraper_gateway.sandbox.processes import PictureProcesses, bound_this_process
from artscraper_runner import PictureLimits

MEDIA_TYPES = {".webp": "image/webp", ".jpg": "image/jpeg"}
_KEPT = 64  # per job, so that requests for every size do not fill the disk


@dataclass
class Previews:
    """Makes previews of layers within `limits`.

    Layer `original` is untrusted and may never have been decoded: so each preview is
    made in a process of its own, with limits on its memory and time.
    """

    limits: PictureLimits
    processes: PictureProcesses
    _making: dict[Path, asyncio.Lock] = field(default_factory=dict)

    async def find_or_make(
        self, layer: Path, folder: Path, *, size: int, suffix: str
    ) -> tuple[Path, int]:
        """Return the copy of `layer` whose longer side is `size` px at most, kept in `folder`.

        And by how many bytes the folder has grown, or shrunk, for it. Two that ask for the same
        one wait for one process. `suffix` is one of MEDIA_TYPES.

        Raises:
            BrokenPicture: the layer cannot be decoded.
            TooBusy: too many others wait.
        """
        grown = 0
        path = folder / f"{layer.parent.name}-{size}{suffix}"
        lock = self._making.setdefault(path, asyncio.Lock())
        try:
            async with lock:
                if not await run_sync(path.is_file):
                    grown = await self._make(layer, path, size)
        finally:
            if not lock.locked():
                self._making.pop(path, None)
        return path, grown

    async def _make(self, layer: Path, path: Path, size: int) -> int:
        freed = await run_sync(_make_room, path.parent)
        limits = json.dumps(asdict(self.limits))
        result = await self.processes.run(__name__, str(layer), str(path), str(size), limits)
        return int(result["bytes"]) - freed


def _make_room(folder: Path) -> int:
    """Make the folder; the oldest previews go. Returns how many bytes they had."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another preview of the job is being made
            status = path.stat()
            kept.append((status.st_mtime, status.st_size, path))
    freed = 0
    for _, size, path in sorted(kept)[: max(0, len(kept) - _KEPT + 1)]:
        with suppress(FileNotFoundError):
            path.unlink()
            freed += size
    return freed


def main(layer: str, path: str, size: str, limits: str) -> None:
    """Make a preview, or print why the layer is refused."""
    bound_this_process()
    from artscraper_runner import PictureError, write_preview  # load NumPy

    try:
        write_preview(Path(layer), Path(path), int(size), PictureLimits(**json.loads(limits)))
        print(json.dumps({"bytes": Path(path).stat().st_size}))
    except (PictureError, MemoryError) as error:
        print(json.dumps({"refused": str(error) or "the picture needs too much memory"}))
    except FileNotFoundError:
        print(json.dumps({"refused": "the picture is not there any more"}))


if __name__ == "__main__":
    main(*sys.argv[1:])
