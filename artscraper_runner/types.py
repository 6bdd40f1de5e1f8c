"""Frozen values that the runner's parts hand to each other."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artscraper_runner.errors import Cancelled, UnknownName
from artscraper_runner.payloads import NUMBER_BYTES, payload_of_number, payload_of_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Json = dict[str, Any]
WATERMARK_METHODS = ("tiled", "dwtDctSvd")


@dataclass(frozen=True)
class PictureLimits:
    """What a picture may measure. All are inclusive upper bounds."""

    max_bytes: int = 50 * 1024 * 1024
    max_pixels: int = 50_000_000  # summed over all frames
    max_side: int = 16_384  # px, width or height
    max_frames: int = 2_000


@dataclass(frozen=True)
class Progress:
    """How far a piece of work is: `done` of `total` units (0 when unknown) of `what`."""

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Controls:
    """How the caller watches and stops a run; both are called often and must be quick."""

    on_progress: Callable[[Progress], None] = lambda progress: None
    should_stop: Callable[[], bool] = lambda: False

    def checkpoint(self) -> None:
        """Raises `Cancelled` when the caller wants the run to stop."""
        if self.should_stop():
            raise Cancelled("the run was cancelled")


@dataclass(frozen=True)
class ProtectionOptions:
    """What a caller may choose about the protection of one picture.

    `watermark_text` is 1 to 10 bytes of UTF-8; None = the picture carries a number instead:
    `watermark_payload`, 16 hex digits, or for None 64 bits drawn anew for each picture. The layer's
    metrics record which. `watermark_method` is one of WATERMARK_METHODS.

    Raises:
        InvalidOption: a text that is empty, too long or no UTF-8, other digits, another method.
    """

    watermark_text: str | None = None
    watermark_method: str = "tiled"
    watermark_payload: str | None = None

    def __post_init__(self) -> None:
        if self.watermark_text is not None:
            payload_of_text(self.watermark_text)
        if self.watermark_payload is not None:
            payload_of_number(self.watermark_payload)
        if self.watermark_method not in WATERMARK_METHODS:
            raise UnknownName("watermark_method", self.watermark_method, WATERMARK_METHODS)

    @property
    def payload(self) -> bytes | None:
        """What the picture is to carry: 10 bytes of text, 8 of a number, None = not said."""
        if self.watermark_text is not None:
            return payload_of_text(self.watermark_text)
        if self.watermark_payload is not None:
            return payload_of_number(self.watermark_payload)
        return None

    def with_payload(self) -> ProtectionOptions:
        """Returns options that say what the picture carries, drawing a number where none does."""
        if self.payload is not None:
            return self
        return replace(self, watermark_payload=secrets.token_hex(NUMBER_BYTES))


@dataclass(frozen=True)
class SigningSettings:
    """Who signs pictures: a certificate chain and its key (PEM files), else a private CA.

    `folder` is where that CA and its leaf are made once, and kept.
    """

    folder: Path
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True)
class AnalysisOptions:
    """Which processors run, and what they may reach. `processors` None = every default one."""

    processors: tuple[str, ...] | None = None
    enable_tineye: bool = False


@dataclass(frozen=True)
class StageResult:
    """What a stage hands back.

    `pixels` is uint8 (H, W, 3) sRGB of the input's size, or None when the stage could not apply;
    then `reason` says why and the input is passed through unchanged.
    """

    pixels: NDArray[np.uint8] | None
    reason: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    processing_size: tuple[int, int] | None = None  # [w, h] in px; None = the whole picture


@dataclass(frozen=True)
class ProcessorResult:
    """One processor's answer: `data` when it went well, `error` when it did not."""

    name: str
    ok: bool
    data: Json | None
    error: str | None

    def to_json(self) -> Json:
        """Returns the row as it stands in analysis.json."""
        return {"name": self.name, "ok": self.ok, "data": self.data, "error": self.error}


@dataclass(frozen=True)
class Project:
    """A published work that a stage or a processor stands on, for summary.json's `projects`."""

    name: str
    notes: str
