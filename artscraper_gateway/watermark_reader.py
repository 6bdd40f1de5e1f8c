"""Read a picture's watermark in a process of its own: the web process decodes no pictures."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artscraper_gateway.errors import BrokenPicture, TooBusy

_AT_ONCE = 2
_WAITING = 16
_TIMEOUT_S = 120.0


@dataclass
class WatermarkReader:
    """Runs `python -m artscraper_runner read-watermark`, at most two at a time."""

    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    _waiting: int = 0

    async def read(self, picture: Path) -> dict[str, Any]:
        """Returns `payload`, `text` and `confidence` of the picture, whose header was checked.

        Raises:
            BrokenPicture: it cannot be decoded, or not in time.
            TooBusy: too many others wait for the same.
        """
        if self._waiting >= _WAITING:
            raise TooBusy("Too many pictures are being read; try again in a moment.")
        self._waiting += 1
        try:
            async with self._slots:
                return await _read(picture)
        finally:
            self._waiting -= 1


async def _read(picture: Path) -> dict[str, Any]:
    package_root = str(Path(__file__).resolve().parent.parent)
    search_path = os.pathsep.join([package_root, os.environ.get("PYTHONPATH", "")])
    process = await asyncio.create_subprocess_exec(
        *("nice", sys.executable, "-m", "artscraper_runner", "read-watermark", str(picture)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": search_path},
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise BrokenPicture("the picture could not be read in time") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise BrokenPicture("the picture cannot be decoded")
    found: dict[str, Any] = json.loads(output)
    return {name: found[name] for name in ("payload", "text", "confidence")}
