"""Read a picture's watermark in a process of its own: the web process decodes no pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artscraper_gateway.picture_processes import PictureProcesses


@dataclass
class WatermarkReader:
    """Runs `python -m artscraper_runner read-watermark`, at most two at a time."""

    _processes: PictureProcesses = field(default_factory=PictureProcesses)

    async def read(self, picture: Path) -> dict[str, Any]:
        """Returns `payload`, `text` and `confidence` of the picture, whose header was checked.

        Raises:
            BrokenPicture: it cannot be decoded, or not in time.
            TooBusy: too many others wait for the same.
        """
        found: dict[str, Any] = json.loads(
            await self._processes.run("read-watermark", str(picture))
        )
        return {name: found[name] for name in ("payload", "text", "confidence")}
