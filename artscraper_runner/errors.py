"""Everything the runner raises on purpose: one tree under `RunnerError`.

    RunnerError
      PictureError          the picture itself is the reason
        UnsupportedPicture  not an accepted format
        BrokenPicture       an accepted format, damaged
        PictureTooLarge     more pixels, frames or side than the limits allow
        PictureTooSmall     fewer pixels than a method needs
        UnusableTarget      not the picture: the one that a stage is to move towards
        UnsupportedPixels   an array that is no picture in the expected layout
      InvalidOption         an option has a value that cannot work
        UnknownName         no stage, processor or encoder of that name
        PayloadSizeError    a watermark payload is empty or too long for the picture
        CredentialsError    a signing certificate or key that cannot be used
      MissingDependency     an optional package is not installed
      ServiceFailed         a service on the network refused or cannot be reached; names it
      MissingModel          a file of weights is in none of the folders where it may be
      OutOfMemory           the device has too little memory, also for smaller work
      SigningFailed         a picture file could not be signed
      StageFailed           a stage broke; names the stage
      Cancelled             the caller asked to stop

Messages say what was expected, what came and what is valid; the facts are attributes too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path


class RunnerError(Exception):
    """Base of the runner's errors; callers at the edge may catch just this one."""

    @property
    def public(self) -> str:
        """The message for whoever sent the picture: without paths of this machine."""
        return str(self)

    @property
    def full(self) -> str:
        """The message for whoever sits at this machine: with its paths."""
        return str(self)


class PictureError(RunnerError):
    """The picture cannot be worked on."""


class UnsupportedPicture(PictureError):
    """The content is not one of the accepted picture formats."""


class BrokenPicture(PictureError):
    """The content begins like an accepted format but cannot be read."""


class PictureTooLarge(PictureError):
    """More pixels, frames or side length than the limits allow."""

    def __init__(self, measure: str, found: int, limit: int) -> None:
        super().__init__(f"expected at most {limit} {measure}, found {found}")
        self.measure = measure
        self.found = found
        self.limit = limit


class PictureTooSmall(PictureError):
    """A picture has too few pixels, or too short a side, for what was asked of it."""

    def __init__(self, *, height: int, width: int, min_pixels: int) -> None:
        super().__init__(
            f"expected a picture of at least {min_pixels} pixels;"
            f" got {width} x {height} = {height * width}"
        )
        self.height = height
        self.width = width
        self.min_pixels = min_pixels


class UnusableTarget(PictureError):
    """A picture that a stage is to move towards cannot be opened; names its option."""

    def __init__(self, option: str, error: PictureError) -> None:
        super().__init__(f"{option}: {error.public}")
        self.option = option


class UnsupportedPixels(PictureError):
    """An array is not a picture in the layout that was asked for."""

    def __init__(self, *, shape: tuple[int, ...], dtype: str, expected: str) -> None:
        super().__init__(f"expected {expected}; got shape {shape} of {dtype}")
        self.shape = shape
        self.dtype = dtype
        self.expected = expected


class InvalidOption(RunnerError):
    """An option's value is not valid."""


class UnknownName(InvalidOption):
    """A name that is not in a registry; the message lists the ones that are."""

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        self.valid = tuple(valid)
        super().__init__(f"unknown {kind} {name!r}; valid: {', '.join(self.valid)}")


class PayloadSizeError(InvalidOption):
    """A watermark payload is empty or longer than the picture holds."""

    def __init__(self, *, payload_bytes: int, max_bytes: int) -> None:
        super().__init__(
            f"expected a payload of 1 to {max_bytes} bytes for this picture; got {payload_bytes}"
        )
        self.payload_bytes = payload_bytes
        self.max_bytes = max_bytes


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
    """A service on the network did not help. `reason` is readable and holds no secret."""

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(f"{service}: {reason}")
        self.service = service
        self.reason = reason


class MissingModel(RunnerError):
    """A file of weights is in none of the folders where it may be.

    `setting` names those folders, None = nobody chooses them; `remedy` holds no path of this
    machine.
    """

    def __init__(
        self, expected: str, *, searched: Sequence[Path], setting: str | None, remedy: str
    ) -> None:
        where = ", ".join(str(folder) for folder in searched) or "no folder: none was given"
        super().__init__(f"expected {expected}, searched {where}: {remedy}")
        self.expected, self.searched = expected, tuple(searched)
        self.setting, self.remedy = setting, remedy

    @property
    def public(self) -> str:
        """Names the setting instead of its folders."""
        where = f"in the folder of the setting {self.setting}" if self.setting else "as installed"
        return f"expected {self.expected} {where}: {self.remedy}"


class NoNumbers(RunnerError):
    """An encoder answers what is no number, or infinite."""

    def __init__(self, encoder: str) -> None:
        super().__init__(
            f"the encoder {encoder} answers what is no number; its weights are damaged, or do not"
            " fit into the precision of this device"
        )
        self.encoder = encoder


class OutOfMemory(RunnerError):
    """The device has too little memory; less was tried once."""

    def __init__(self, encoder: str, width: int, height: int) -> None:
        super().__init__(
            f"out of memory: the encoder {encoder} does not fit beside a picture of"
            f" {width}x{height} px, nor at a smaller working size; use a smaller encoder or a"
            " device with more memory"
        )
        self.encoder, self.width, self.height = encoder, width, height


class StageFailed(RunnerError):
    """A stage broke. `stage` names it, `reason` is readable by the person who sent the picture."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(f"stage {stage} failed: {reason}")
        self.stage = stage
        self.reason = reason

    @property
    def full(self) -> str:
        """Says all that the error behind this one says, where it is the runner's."""
        cause = self.__cause__
        return (
            f"stage {self.stage} failed: {cause}" if isinstance(cause, RunnerError) else str(self)
        )


class Cancelled(RunnerError):
    """Raised by a stage when `should_stop` answered true."""
