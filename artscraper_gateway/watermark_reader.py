"""Read a picture's watermark in a process of its own: the web process decodes no pictures.

`python -m artscraper_gateway.watermark_reader PICTURE LIMITS` is that process. It prints one line
of JSON, with `refused` when the picture is at fault; whatever else it does, the gateway is.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from artscraper_gateway.errors import BrokenPicture, GatewayError, TooBusy
from artscraper_runner import PictureLimits

_log = logging.getLogger(__name__)
_AT_ONCE = 2
_WAITING = 16
_TIMEOUT_S = 120.0
_LOGGED_BYTES = 4_000  # of what a failed process said last


@dataclass
class WatermarkReader:
    """Reads pictures within `limits`, at most two at a time."""

    limits: PictureLimits
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    _waiting: int = 0

    async def read(self, picture: Path) -> dict[str, Any]:
        """Returns `payload`, `text` and `confidence` of the picture, whose header was checked.

        Raises:
            BrokenPicture: it cannot be decoded.
            TooBusy: too many others wait for the same, or there was no time to finish.
            GatewayError: the reading process failed; the log has the reason.
        """
        if self._waiting >= _WAITING:
            raise TooBusy("Too many pictures are being read; try again in a moment.")
        self._waiting += 1
        try:
            async with self._slots:
                said = await _run([str(picture), json.dumps(asdict(self.limits))])
        finally:
            self._waiting -= 1
        if "refused" in said:
            raise BrokenPicture(said["refused"])
        return {name: said[name] for name in ("payload", "text", "confidence")}


async def _run(arguments: list[str]) -> dict[str, Any]:
    package_root = str(Path(__file__).resolve().parent.parent)
    search_path = os.pathsep.join([package_root, os.environ.get("PYTHONPATH", "")])
    process = await asyncio.create_subprocess_exec(
        *("nice", sys.executable, "-m", __name__, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": search_path},
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            output, complaints = await process.communicate()
    except TimeoutError as error:
        raise TooBusy("The picture could not be read in time; try again later.") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        last_words = complaints[-_LOGGED_BYTES:].decode(errors="replace")
        _log.error("reading a watermark ended with %d: %s", process.returncode, last_words)
        raise GatewayError("The watermark could not be read; the gateway's log has the reason.")
    said: dict[str, Any] = json.loads(output)
    return said


def main(picture: str, limits: str) -> None:
    """Prints what the picture carries, or why it is refused."""
    from artscraper_runner import PictureError, open_picture, read_watermark  # load NumPy

    try:
        pixels = open_picture(Path(picture), PictureLimits(**json.loads(limits))).pixels
    except PictureError as error:
        print(json.dumps({"refused": str(error)}))
        return
    print(json.dumps(read_watermark(pixels).to_json()))


if __name__ == "__main__":
    main(*sys.argv[1:])
