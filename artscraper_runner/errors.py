"""The package's error tree: every error a caller may want to catch is a RunnerError."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class RunnerError(Exception):
    """Base of every error that this package raises on purpose."""


class UnknownName(RunnerError):
    """A name that no registry row has."""

    def __init__(self, name: str, *, kind: str, valid: Sequence[str]) -> None:
        super().__init__(f"unknown {kind} {name!r}: expected one of {', '.join(valid)}")
        self.name, self.kind, self.valid = name, kind, tuple(valid)


class MissingDependency(RunnerError):
    """An optional package that is needed here is not installed."""

    def __init__(self, package: str, *, install: str) -> None:
        super().__init__(f"{package} is not installed: run `{install}`")
        self.package, self.install = package, install


class MissingModel(RunnerError):
    """A file of weights is in none of the folders where it may be."""

    def __init__(self, expected: str, *, searched: Sequence[Path], remedy: str) -> None:
        where = ", ".join(str(folder) for folder in searched) or "no folder: none was given"
        super().__init__(f"expected {expected}, searched {where}: {remedy}")
        self.expected, self.searched, self.remedy = expected, tuple(searched), remedy
