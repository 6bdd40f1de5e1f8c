"""Files of weights: where they are looked up, and how tensors are read from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.errors import RunnerError


class UnusableModel(RunnerError):
    """A file of weights that cannot be read, or that belongs to another network.

    `reason` holds no path; `detail` is a library's message, which may hold one.
    """

    def __init__(self, path: Path, reason: str, *, detail: str = "") -> None:
        super().__init__(f"{path} is not usable: {reason}{f': {detail}' if detail else ''}")
        self.path, self.reason, self.detail = path, reason, detail

    @property
    def public(self) -> str:
        """Name the file without its folder, and leave the detail out."""
        return f"{self.path.name} is not usable: {self.reason}"


def folders_of(name: str, models_dir: Path | None) -> tuple[Path, ...]:
    """Return the folders in which the weights of `name` are looked up, in order."""
    return () if models_dir is None else (models_dir / name, models_dir)


def first_file(folders: Sequence[Path], names: Sequence[str]) -> Path | None:
    """Return the first of the named files in the first folder that has any; None without one."""
    candidates = (folder / name for folder in folders for name in names)
    return next((path for path in candidates if path.is_file()), None)


def check_finite(path: Path, weights: Iterable[NDArray[np.floating]]) -> None:
    """Check that the weights read from `path` are finite.

    Raises:
        UnusableModel: some are infinite or no numbers.
    """
    if not all(np.isfinite(values).all() for values in weights):
        raise UnusableModel(path, "expected finite weights, found others")
