"""Read a picture's watermark in a process of its own: the web process decodes no pictures.

`python -m artscraper_gateway.sandbox.watermarks PICTURE LIMITS` is that process.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from artscraper_gateway.sandbox.processes import PictureProcesses, bound_this_process
from artscraper_runner import PictureLimits


@dataclass
class WatermarkReader:
    """Reads pictures within `limits`."""

    limits: PictureLimits
    processes: PictureProcesses

    async def read(self, picture: Path) -> dict[str, Any]:
        """Return `payload`, `text` and `confidence` of a picture with a checked header.

        Raises:
            BrokenPicture: it cannot be decoded.
            TooBusy: too many others wait for the same, or there was no time to finish.
            GatewayError: the reading process failed; the log has the reason.
        """
        result = await self.processes.run(__name__, str(picture), json.dumps(asdict(self.limits)))
        return {name: result[name] for name in ("payload", "text", "confidence")}


def main(picture: str, limits: str) -> None:
    """Print the reading as JSON, or why the picture is refused."""
    bound_this_process()
    from artscraper_runner import PictureError, open_picture, read_watermark  # load NumPy

    try:
        pixels = open_picture(Path(picture), PictureLimits(**json.loads(limits))).pixels
        print(json.dumps(read_watermark(pixels).to_json()))
    except (PictureError, MemoryError) as error:
        print(json.dumps({"refused": str(error) or "the picture needs too much memory"}))


if __name__ == "__main__":
    main(*sys.argv[1:])
