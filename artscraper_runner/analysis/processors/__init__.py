"""The processors, by name. Adding one = one file with a `process` function + one line here.

A processor reads a `DecodedPicture` and returns a JSON-safe dict; an exception marks that
processor `ok: false` and leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from artscraper_runner.imaging.decode import Picture
from artscraper_runner.options import AnalysisOptions
from artscraper_runner.types import Json, Project

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artscraper_runner.analysis.hashes.luma_thumbnails import LumaThumbnails

# Name -> module with `process`.
_PROCESSORS = {
    "metadata": "artscraper_runner.analysis.processors.metadata",
    "imagehash": "artscraper_runner.analysis.processors.imagehashes",
    "dhash": "artscraper_runner.analysis.processors.row_column_hash",
    "blockhash": "artscraper_runner.analysis.processors.blockhash",
    "stegano": "artscraper_runner.analysis.processors.stegano",
    "tineye": "artscraper_runner.analysis.processors.tineye",
}
_BAND_ROWS = 256
_ONLY_WHEN_ENABLED = frozenset({"tineye"})  # sends the picture to a third party


@dataclass(frozen=True, kw_only=True)
class DecodedPicture(Picture):
    """The input of processors: one decode shared by all, from the file at `path`, as received."""

    path: Path

    @classmethod
    def of(cls, path: Path, picture: Picture) -> DecodedPicture:
        """Return the input of processors for a picture opened from `path`."""
        return cls(**vars(picture), path=path)

    @cached_property
    def thumbnails(self) -> LumaThumbnails:
        """Made once, because every hash but the block hash begins with them."""
        from artscraper_runner.analysis.hashes.luma_thumbnails import LumaThumbnails

        return LumaThumbnails(self.image, self.pixels)

    @cached_property
    def over_white(self) -> NDArray[np.uint8] | None:
        """The picture over a white page, uint8 (H, W, 3); None if that is `image` itself.

        The hashes of this do not depend on the colours where nothing can be seen, nor on how
        Pillow converts 16-bit grey, of which it makes white.
        """
        if self.alpha is None:
            return self.pixels if self.image.mode.startswith("I;16") else None
        import numpy as np

        composited = np.empty_like(self.pixels)
        for top in range(0, len(composited), _BAND_ROWS):
            rows = slice(top, top + _BAND_ROWS)
            alpha = self.alpha[rows, :, None].astype(np.uint16)
            composited[rows] = (
                self.pixels[rows] * alpha + (255 - alpha) * np.uint16(255) + 127
            ) // 255
        return composited

    @cached_property
    def thumbnails_over_white(self) -> LumaThumbnails | None:
        """Thumbnails of `over_white`; None without that."""
        from PIL import Image

        from artscraper_runner.analysis.hashes.luma_thumbnails import LumaThumbnails

        pixels = self.over_white
        return None if pixels is None else LumaThumbnails(Image.fromarray(pixels), pixels)


class Processor(Protocol):
    """A module of this package, seen as an object."""

    PROJECT: Project

    process: Callable[[DecodedPicture, AnalysisOptions], Json]


def processor_names() -> tuple[str, ...]:
    """Return every registered name in the order of execution."""
    return tuple(_PROCESSORS)


def default_processors() -> tuple[str, ...]:
    """Return the names that run when the caller names none."""
    return tuple(name for name in _PROCESSORS if name not in _ONLY_WHEN_ENABLED)


def load_processor(name: str) -> Processor:
    """Import and return the processor called `name`."""
    processor: Processor = import_module(_PROCESSORS[name])
    return processor
