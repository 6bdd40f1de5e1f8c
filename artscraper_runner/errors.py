"""Errors of the runner: one tree under `RunnerError`.

Messages state the expected, found and valid values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path


class RunnerError(Exception):
    """Base of the runner's errors; callers at the edge may catch just this one.

    `public` is the message for the sender of the picture, where it must differ: without paths of
    this machine.
    """

    def __init__(self, message: str = "", *, public: str | None = None) -> None:
        super().__init__(message)
        self.public = message if public is None else public

    @property
    def full(self) -> str:
        """The message for the operator of this machine: with its paths."""
        return str(self)


class PictureError(RunnerError):
    """The picture itself is the cause of the failure."""


class UnsupportedPicture(PictureError):
    """The content is not one of the accepted picture formats."""


class BrokenPicture(PictureError):
    """The content has the signature of an accepted format but cannot be read."""


class UnsupportedVariant(PictureError):
    """The picture is whole, but its variant of an accepted format cannot be kept faithfully."""


class PictureTooLarge(PictureError):
    """More pixels, frames or side length than the limits allow."""

    def __init__(self, measure: str, found: int, limit: int) -> None:
        text = f"expected at most {limit} {measure}, found {found}"
        if measure.startswith("pixels"):  # people know megapixels from their cameras
            text += f" ({limit / 1e6:.3g} MP, found {found / 1e6:.3g} MP)"
        super().__init__(text)


class PictureTooSmall(PictureError):
    """A picture has too few pixels, or too short a side, for a method."""

    def __init__(self, *, height: int, width: int, min_pixels: int) -> None:
        super().__init__(
            f"expected a picture of at least {min_pixels} pixels;"
            f" found {width} x {height} = {height * width}"
        )
        self.height, self.width = height, width


class UnusableTarget(PictureError):
    """The target picture of a stage cannot be opened; names its option."""

    def __init__(self, option: str, error: PictureError) -> None:
        super().__init__(f"{option}: {error.public}")


class UnsupportedPixels(PictureError):
    """An array has another shape or dtype than a picture."""


class InvalidOption(RunnerError):
    """An option's value is not valid."""


class UnknownName(InvalidOption):
    """A name is not in its registry; the message lists the valid names."""

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        self.valid = tuple(valid)
        super().__init__(f"unknown {kind} {name!r}; valid: {', '.join(self.valid)}")


class PayloadSizeError(InvalidOption):
    """A watermark payload is empty or longer than the picture holds."""

    def __init__(self, *, payload_bytes: int, max_bytes: int) -> None:
        super().__init__(
            f"expected a payload of 1 to {max_bytes} bytes for this picture; found {payload_bytes}"
        )


class CredentialsError(InvalidOption):
    """A signing certificate or key is missing, broken, expired or not fit for its use."""


class SigningFailed(RunnerError):
    """A picture file could not be signed."""


class MissingDependency(RunnerError):
    """An optional package is not installed; the message names the command that installs it."""

    def __init__(self, package: str, purpose: str, install: str) -> None:
        super().__init__(f"{purpose} needs the package {package}; install it with: {install}")
        self.package = package
        self.install = install


class ServiceFailed(RunnerError):
    """A call to a service on the network failed. `reason` holds no secret."""

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(f"{service}: {reason}")
        self.reason = reason


class MissingModel(RunnerError):
    """A weights file is missing from every folder that was searched.

    `setting` is the setting that names those folders, None when they are fixed; `remedy` holds no
    path of this machine.
    """

    def __init__(
        self, expected: str, *, searched: Sequence[Path], setting: str | None, remedy: str
    ) -> None:
        where = ", ".join(str(folder) for folder in searched) or "no folder, since none is set"
        shown = f"in the folder of the setting {setting}" if setting else "as installed"
        super().__init__(
            f"expected {expected}, searched {where}: {remedy}",
            public=f"expected {expected} {shown}: {remedy}",
        )
        self.searched, self.setting = tuple(searched), setting


class NoNumbers(RunnerError):
    """An encoder returned NaN or infinity."""

    def __init__(self, encoder: str) -> None:
        super().__init__(
            f"the encoder {encoder} returned NaN or infinity; its weights are damaged, or"
            " overflow the precision of this device"
        )


class OutOfMemory(RunnerError):
    """The device ran out of memory, also at a smaller working size."""

    def __init__(self, encoder: str, width: int, height: int) -> None:
        super().__init__(
            f"out of memory: the encoder {encoder} does not fit beside a picture of"
            f" {width}x{height} px, nor at a smaller working size; use a smaller encoder or a"
            " device with more memory"
        )


class StageFailed(RunnerError):
    """A stage failed. `stage` is its name, `reason` a message for the sender of the picture."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(f"stage {stage} failed: {reason}")
        self.stage = stage
        self.reason = reason

    @property
    def full(self) -> str:
        """The full message of the cause if that is an error of the runner."""
        cause = self.__cause__
        return (
            f"stage {self.stage} failed: {cause}" if isinstance(cause, RunnerError) else str(self)
        )


class Cancelled(RunnerError):
    """The caller cancelled the run."""
