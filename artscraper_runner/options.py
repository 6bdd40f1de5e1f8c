"""Options of a run, with defaults and valid values."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path

from artscraper_runner.errors import InvalidOption, UnknownName

TINEYE_URL = "https://api.tineye.com/rest"
PREVIEW_SIDES = (16, 2048)  # px, the smallest and the largest
PART_MAX_SIDE = 512  # px of a part of a picture whose strength is previewed
# Stages that a preview of a part shows; others need a face, the whole picture or its file.
PREVIEW_STAGES = ("photoguard", "mist", "nightshade", "invisible-watermark")
STRENGTH_NAMES = ("low", "medium", "high")  # bounds on visibility, see `attacks.presets`
PRESET_NAMES = ("default", "published")
SEED_MAX = 2**31 - 1
CONCEPT_NAMES = ("forest", "city", "flower")  # built-in targets of nightshade
ACCELERATOR_NAMES = ("auto", "cpu", "openvino", "cuda", "coreml", "directml")
RIGHTS_MAX_LENGTH = 500  # characters
WATERMARK_METHODS = ("tiled", "dwtDctSvd")
DEFAULT_WATERMARK_METHOD = "tiled"
DEFAULT_WATERMARK_TEXT = "artscraper"  # of dwtDctSvd, which has no numbers
NUMBER_BYTES = 8  # of a watermark's number, written as 16 hex digits
TEXT_BYTES = 10  # of a watermark's text, UTF-8 filled up with zero bytes


@dataclass(frozen=True)
class PictureLimits:
    """Limits on a picture. All are inclusive upper bounds."""

    max_bytes: int = 50 * 1024 * 1024
    max_pixels: int = 50_000_000  # summed over all frames
    max_side: int = 16_384  # px, width or height
    max_frames: int = 2_000


@dataclass(frozen=True)
class RightsStatement:
    """The rights that the stage c2pa writes into XMP beside the do-not-train statement.

    `copyright_notice` becomes dc:rights, `usage_terms` xmpRights:UsageTerms, each replacing what
    the picture had; None leaves it. `allow_search_engines` permits indexing by search engines.

    Raises:
        InvalidOption: a text is empty, too long, or has control characters.
    """

    copyright_notice: str | None = None
    usage_terms: str | None = None
    allow_search_engines: bool = False

    def __post_init__(self) -> None:
        for name in ("copyright_notice", "usage_terms"):
            text = getattr(self, name)
            if text is None:
                continue
            if not 1 <= len(text) <= RIGHTS_MAX_LENGTH:
                raise InvalidOption(
                    f"{name}: expected 1 to {RIGHTS_MAX_LENGTH} characters, found {len(text)}"
                )
            if not text.isprintable():
                raise InvalidOption(f"{name}: expected one line of text, found control characters")

    @property
    def is_empty(self) -> bool:
        """Whether nothing was chosen."""
        return self == RightsStatement()


@dataclass(frozen=True)
class ProtectionOptions:
    """The options of the protection of one picture.

    `strength` bounds the change (STRENGTH_NAMES), `encoder` is what the attacks look through
    (`artscraper_runner.models`), `preset` one of PRESET_NAMES, `seed` 0..SEED_MAX.
    `nightshade_target` is the name of a built-in concept, or the Path of a picture file.
    `fawkes_target` is the Path of a picture of another person that cloaked faces are to resemble;
    None for no particular person. `recogniser` is what cloaks are to escape from
    (`faces.recognisers`), `ensemble:a+b` for several.
    `models_dir` holds encoders' weights (None: only the bundled one); `allow_downloads` lets
    missing ones be fetched into it. `mist_model` is the folder of a diffusion model for mist's
    fused mode, None: the textural mode. `accelerator` is what computes the attacks
    (`models.accelerators`). Names that need a registry are checked by `stages.check_options`.

    `watermark_text` is 1 to 10 bytes of UTF-8; None: the picture carries a number instead:
    `watermark_payload`, 16 hex digits, or for None 64 bits drawn anew for each picture; with
    dwtDctSvd DEFAULT_WATERMARK_TEXT. The layer's metrics record which. `watermark_method` is one
    of WATERMARK_METHODS. `rights` is written by the stage c2pa. `keep_watermark` leaves a
    picture unmarked that carries a readable mark already, instead of writing over it.

    Raises:
        UnknownName: no such strength, preset or watermark method.
        InvalidOption: the seed is out of range; a text that is empty, too long or no UTF-8; other
            digits.
    """

    watermark_text: str | None = None
    watermark_method: str = DEFAULT_WATERMARK_METHOD
    watermark_payload: str | None = None
    keep_watermark: bool = False
    rights: RightsStatement = RightsStatement()
    strength: str = "medium"
    encoder: str = "bundled"
    recogniser: str = "dlib"
    preset: str = "default"
    seed: int = 0
    nightshade_target: str | Path = "forest"
    fawkes_target: Path | None = None
    models_dir: Path | None = None
    allow_downloads: bool = False
    mist_model: Path | None = None
    accelerator: str = "auto"

    def __post_init__(self) -> None:
        for kind, name, valid in (
            ("strength", self.strength, STRENGTH_NAMES),
            ("preset", self.preset, PRESET_NAMES),
            ("watermark_method", self.watermark_method, WATERMARK_METHODS),
            ("accelerator", self.accelerator, ACCELERATOR_NAMES),
        ):
            if name not in valid:
                raise UnknownName(kind, name, valid)
        if not 0 <= self.seed <= SEED_MAX:
            raise InvalidOption(f"seed: expected 0 to {SEED_MAX}, found {self.seed}")
        if self.watermark_text is not None:
            payload_of_text(self.watermark_text)
        if self.watermark_payload is not None:
            payload_of_number(self.watermark_payload)

    @property
    def payload(self) -> bytes | None:
        """The payload to embed: 10 bytes of text, 8 of a number, None if neither is set."""
        if self.watermark_text is not None:
            return payload_of_text(self.watermark_text)
        if self.watermark_payload is not None:
            return payload_of_number(self.watermark_payload)
        return None

    def with_payload(self) -> ProtectionOptions:
        """Return options with a payload, drawing a number if none is set."""
        if self.payload is not None:
            return self
        if self.watermark_method == "dwtDctSvd":
            return replace(self, watermark_text=DEFAULT_WATERMARK_TEXT)
        return replace(self, watermark_payload=secrets.token_hex(NUMBER_BYTES))


@dataclass(frozen=True)
class SigningSettings:
    """The signer of pictures: a certificate chain and its key (PEM files), else a private CA.

    `folder` is where that CA and its leaf are made once, and kept.
    """

    folder: Path
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True)
class AnalysisOptions:
    """The processors to run, and what they may reach. `processors` None: every default one.

    `tineye_url` is the base of TinEye's API; the key is sent there and shown nowhere.
    """

    processors: tuple[str, ...] | None = None
    enable_tineye: bool = False
    tineye_api_key: str | None = field(default=None, repr=False)
    tineye_url: str = TINEYE_URL


def payload_of_text(text: str) -> bytes:
    """Return the TEXT_BYTES bytes that carry `text`.

    Raises:
        InvalidOption: empty, over TEXT_BYTES of UTF-8, not encodable, or with a NUL in it.
    """
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidOption("watermark_text: expected text that UTF-8 can hold") from error
    if not 1 <= len(encoded) <= TEXT_BYTES:
        raise InvalidOption(
            f"watermark_text: expected 1 to {TEXT_BYTES} bytes of UTF-8, found {len(encoded)}"
        )
    if b"\0" in encoded:
        raise InvalidOption("watermark_text: expected text without NUL characters, found one")
    return encoded.ljust(TEXT_BYTES, b"\0")


def text_of_payload(payload: bytes) -> str | None:
    """Return the text of a payload; None for a number, no content or invalid UTF-8."""
    if len(payload) != TEXT_BYTES:
        return None
    try:
        return payload.rstrip(b"\0").decode("utf-8") or None
    except UnicodeDecodeError:
        return None


def payload_of_number(digits: str) -> bytes:
    """Return the NUMBER_BYTES bytes written as hex `digits`.

    Raises:
        InvalidOption: not 16 hex digits.
    """
    try:
        payload = bytes.fromhex(digits)
    except ValueError:
        payload = b""
    if len(payload) != NUMBER_BYTES or len(digits) != 2 * NUMBER_BYTES:
        raise InvalidOption(
            f"watermark_payload: expected {2 * NUMBER_BYTES} hex digits, found {digits!r}"
        )
    return payload
