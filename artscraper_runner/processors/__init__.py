"""The processors, by name. Adding one = one file with a `process` function + one line here.

A processor looks at a `DecodedPicture` and returns a JSON-safe dict; whatever it raises marks that
processor `ok: false` and leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from artscraper_runner.errors import RunnerError, UnknownName
from artscraper_runner.types import Json, Project

if TYPE_CHECKING:
    from PIL import Image

    from artscraper_runner.images import PictureHeader

# Name -> module with `process`; None = the name is reserved, its processor is not built yet.
_PROCESSORS: dict[str, str | None] = {
    "metadata": "artscraper_runner.processors.metadata",
    "imagehash": "artscraper_runner.processors.imagehashes",
    "dhash": "artscraper_runner.processors.row_column_hash",
    "blockhash": None,
    "stegano": None,
    "tineye": None,
}


@dataclass(frozen=True)
class DecodedPicture:
    """What processors look at: one decode shared by all.

    `image` is the first frame, upright, in its own mode; `luma` the same in mode L, made once
    because every perceptual hash begins with it. `path` is the file as it was received.
    """

    path: Path
    header: PictureHeader
    image: Image.Image
    exif: Image.Exif
    luma: Image.Image


class Processor(Protocol):
    """A module of this package, seen as an object."""

    PROJECT: Project

    process: Callable[[DecodedPicture], Json]


def processor_names() -> tuple[str, ...]:
    """Returns every known name, in the order in which they run."""
    return tuple(_PROCESSORS)


def default_processors() -> tuple[str, ...]:
    """Returns the names that run when the caller names none."""
    return tuple(name for name, module in _PROCESSORS.items() if module is not None)


def load_processor(name: str) -> Processor:
    """Imports and returns the processor called `name`.

    Raises:
        UnknownName: no such processor.
        RunnerError: the name is known, but this version has no processor for it.
    """
    if name not in _PROCESSORS:
        raise UnknownName("processor", name, _PROCESSORS)
    module = _PROCESSORS[name]
    if module is None:
        raise RunnerError(f"the processor {name} is not part of this version")
    processor: Processor = import_module(module)
    return processor
