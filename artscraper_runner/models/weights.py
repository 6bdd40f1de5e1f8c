"""Files of weights: where they are looked up, and how tensors are read from them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.errors import RunnerError

_SUFFIXES = (".safetensors", ".pth")


class UnusableModel(RunnerError):
    """A file of weights that cannot be read, or that belongs to another network.

    `reason` holds no path; `detail` is a library's message, which may hold one.
    """

    def __init__(self, path: Path, reason: str, *, detail: str = "") -> None:
        more = f": {detail}" if detail else ""
        super().__init__(
            f"{path} is not usable: {reason}{more}", public=f"{path.name} is not usable: {reason}"
        )
        self.path = path


def folders_of(name: str, models_dir: Path | None) -> tuple[Path, ...]:
    """Return the folders in which the weights of `name` are looked up, in order."""
    return () if models_dir is None else (models_dir / name, models_dir)


def published_file(name: str, models_dir: Path | None) -> Path | None:
    """Return the file of a published encoder's weights in `models_dir`; None without one."""
    folders, names = folders_of(name, models_dir), published_names(name)
    return next((f / each for f in folders for each in names if (f / each).is_file()), None)


def published_names(name: str) -> list[str]:
    """Return the names that a published encoder's weights may have, in order."""
    return [f"{name}{end}{suffix}" for end in ("_encoder", "") for suffix in _SUFFIXES]


def check_finite(path: Path, weights: Iterable[NDArray[np.floating]]) -> None:
    """Check that the weights read from `path` are finite.

    Raises:
        UnusableModel: some are infinite or no numbers.
    """
    if not all(np.isfinite(values).all() for values in weights):
        raise UnusableModel(path, "expected finite weights, found others")
