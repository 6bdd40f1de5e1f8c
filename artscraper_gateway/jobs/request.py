"""The request of a job: the options as clients send them, completed from the settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from typing_extensions import TypeAliasType

from artscraper_gateway.errors import InvalidRequest
from artscraper_gateway.net.address_guard import AddressRules
from artscraper_gateway.net.pinned_transport import parse_target
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_runner import (
    InvalidOption,
    MissingDependency,
    ProtectionOptions,
    RightsStatement,
    check_options,
    chosen_stages,
    encoder_names,
    processor_names,
)

MAX_BATCH = 100  # pictures
# Named types: a generated client has one of each, whatever refers to it.
Strength = TypeAliasType("Strength", Literal["low", "medium", "high"])
Preset = TypeAliasType("Preset", Literal["default", "published"])
WatermarkMethod = TypeAliasType("WatermarkMethod", Literal["tiled", "dwtDctSvd"])


def _split_names(value: object) -> object:
    """Split a form field `a,b`; an empty field, as browsers send it, means the default."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()] or None
    return value


NameList = Annotated[tuple[str, ...], BeforeValidator(_split_names)]


class PictureOptions(BaseModel):
    """Options of the pipelines for one picture. None: the default of the gateway's settings."""

    processors: Annotated[tuple[str, ...] | None, BeforeValidator(_split_names)] = Field(
        None, description="analysis processors to run; if none, all", max_length=32
    )
    include_hash_analysis: bool = Field(True, description="write analysis.json")
    include_protection: bool = Field(True, description="run the protection stages")
    enable_tineye: bool = Field(False, description="send the picture to TinEye's reverse search")
    stages: Annotated[tuple[str, ...] | None, BeforeValidator(_split_names)] = Field(
        None,
        description="protection stages, in this order, but for stegano-embed and c2pa, which run"
        " last; if none, the gateway's",
        max_length=32,
    )
    strength: Strength | None = Field(
        None,
        description="visibility of the change: none (low), hardly any (medium),"
        " some where the picture is smooth (high); if none, the gateway's",
    )
    encoder: str | None = Field(
        None,
        max_length=200,
        description="model that the attacks differentiate through; if none, the gateway's",
    )
    preset: Preset | None = Field(
        None,
        description="attack parameters: this gateway's, or each paper's own, which take minutes;"
        " if none, the gateway's",
    )
    seed: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="the same seed and picture give the same attack layers; the watermark carries"
        " each job's own number unless watermark_text is set; if none, the gateway's",
    )
    nightshade_target: str | None = Field(
        None,
        max_length=200,
        description="concept that nightshade moves towards; if none, the gateway's",
    )
    watermark_text: str | None = Field(
        None,
        max_length=200,
        description="up to 10 bytes in the watermark; if none, the job's number",
    )
    watermark_method: WatermarkMethod | None = Field(
        None, description="watermark method; if none, tiled, which survives the web"
    )
    keep_watermark: bool = Field(
        False, description="keep the watermark of a picture that carries one already"
    )
    copyright_notice: str | None = Field(
        None,
        max_length=500,
        description="stage c2pa writes it into XMP as dc:rights; none = the gateway's",
    )
    usage_terms: str | None = Field(
        None,
        max_length=500,
        description="stage c2pa writes it into XMP as xmpRights:UsageTerms; none = the gateway's",
    )
    allow_search_engines: bool | None = Field(
        None,
        description="stage c2pa states that search engines may index the picture;"
        " none = the gateway's",
    )


class JobOptions(PictureOptions):
    """Options of a job, as a client sends them."""

    model_config = ConfigDict(extra="forbid")

    priority: int = Field(0, ge=-100, le=100, description="jobs with a higher priority run sooner")
    callback_url: str | None = Field(
        None, max_length=2000, description="http or https URL that receives a webhook at the end"
    )

    @model_validator(mode="after")
    def _known_processors(self) -> Self:
        for name in self.processors or ():
            if name not in processor_names():
                raise ValueError(
                    f"unknown processor {name[:80]!r}; valid: {', '.join(processor_names())}"
                )
        return self


class JobByReference(JobOptions):
    """A JSON request that names its picture: a URL, or a path on the gateway's machine."""

    image_url: str | None = Field(None, max_length=8192, description="http or https URL")
    local_path: str | None = Field(None, max_length=8192, description="path inside a local root")

    @model_validator(mode="after")
    def _exactly_one_source(self) -> Self:
        if (self.image_url is None) == (self.local_path is None):
            raise ValueError("expected exactly one of image_url and local_path")
        return self

    def options(self) -> JobOptions:
        """Return the options without the source of the picture."""
        return JobOptions.model_validate(
            self.model_dump(exclude={"image_url", "local_path"}, exclude_unset=True)
        )


class BatchByReference(JobOptions):
    """A JSON request for a batch; an item's own options override those beside `items`."""

    items: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=MAX_BATCH,
        description="one job request each: image_url or local_path, and options",
    )

    def each(self) -> list[dict[str, Any]]:
        """Return the items, each with the shared options it does not override."""
        shared = self.model_dump(exclude={"items"}, exclude_unset=True)
        return [{**shared, **item} for item in self.items]


# Options whose defaults are settings of the same name.
_DEFAULTS_IN_SETTINGS = ("strength", "encoder", "preset", "seed", "nightshade_target")
_RIGHTS = ("copyright_notice", "usage_terms", "allow_search_engines")  # those of the stage c2pa


class JobRequest(PictureOptions):
    """Every option of one job, resolved. Stored with the job's row, read by the worker."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    stages: tuple[str, ...] = ()
    strength: Strength = "medium"
    encoder: str = "bundled"
    preset: Preset = "default"
    seed: int = 0
    nightshade_target: str = "forest"
    watermark_method: WatermarkMethod = "tiled"
    allow_search_engines: bool = False
    stages_explicit: bool = False  # named by the caller: a stage that is not installed fails
    watermark_payload: str | None = None  # 16 hex digits, drawn once so that retries repeat it
    target_files: dict[str, str] = Field(default_factory=dict)  # file names by option
    upload_name: str | None = None  # clean file name; None if names are not kept
    origin: dict[str, str] = Field(default_factory=dict)  # request id and trace context

    @model_validator(mode="before")
    @classmethod
    def _upgrade_stored(cls, stored: Any) -> Any:
        """Read what releases before 0.2 stored: nested protection options, and `insists`."""
        if not isinstance(stored, dict) or not ("protection" in stored or "insists" in stored):
            return stored
        values = {**stored, **stored.get("protection", {})}
        values["stages_explicit"] = stored.get("insists", False)
        return {name: value for name, value in values.items() if value is not None}

    @property
    def needs_pipeline(self) -> bool:
        """Return whether the job analyses or protects its picture rather than only storing it."""
        return self.include_protection or self.include_hash_analysis

    def protection_options(
        self, config: GatewayConfig, *, targets: Mapping[str, Path] | None = None
    ) -> ProtectionOptions:
        """Return the runner's options; `targets` are the caller's own pictures, by option."""
        files = dict(targets or {})
        return ProtectionOptions(
            watermark_text=self.watermark_text,
            watermark_method=self.watermark_method,
            watermark_payload=self.watermark_payload,
            keep_watermark=self.keep_watermark,
            rights=RightsStatement(
                self.copyright_notice, self.usage_terms, self.allow_search_engines
            ),
            strength=self.strength,
            encoder=self.encoder,
            recogniser=config.recogniser,
            preset=self.preset,
            seed=self.seed,
            nightshade_target=files.get("nightshade_target", self.nightshade_target),
            fawkes_target=files.get("fawkes_target"),
            models_dir=config.models_dir,
            allow_downloads=config.allow_downloads,
            mist_model=config.mist_model,
            accelerator=config.accelerator,
        )

    def to_options(self, *, priority: int, callback_url: str | None) -> JobOptions:
        """Return options that ask for the same job again, with a watermark number of its own."""
        values = self.model_dump(include=set(PictureOptions.model_fields))
        if not (self.stages and self.stages_explicit):
            values["stages"] = None
        return JobOptions(**values, priority=priority, callback_url=callback_url)


def address_rules(config: GatewayConfig) -> AddressRules:
    """Return where the gateway may connect to when a caller chooses the URL."""
    return AddressRules(config.allow_private_addresses, config.allowed_hosts)


def resolve_request(options: JobOptions, config: GatewayConfig) -> JobRequest:
    """Complete a client's options from the settings.

    Raises:
        InvalidRequest: a stage, encoder, concept or text that cannot be used, which lists the
            valid; options that contradict each other.
        ForbiddenAddress: `callback_url` is no URL, or one that may not be called.
    """
    if options.callback_url is not None:
        parse_target(options.callback_url, address_rules(config))
    _check_encoder(options.encoder, config)
    defaults = {name: getattr(config, name) for name in _DEFAULTS_IN_SETTINGS}
    chosen = {name: value for name, value in options if value is not None}
    named = config.stages or None if options.stages is None else options.stages
    try:
        stages = chosen_stages(named)
        if options.stages and not options.include_protection:
            raise InvalidRequest("stages: expected none, since include_protection is false")
        chosen["stages"] = stages if options.include_protection else ()
        if "c2pa" in chosen["stages"]:
            defaults |= {name: getattr(config, name) for name in _RIGHTS}
        elif any(chosen.get(name) for name in _RIGHTS):
            raise InvalidRequest(f"{', '.join(_RIGHTS)}: expected c2pa in stages")
        request = JobRequest.model_validate({**defaults, **chosen})
        protection = request.protection_options(config)
        check_options(protection)
    except (InvalidOption, MissingDependency) as error:
        raise InvalidRequest(str(error)) from error
    return request.model_copy(
        update={
            "stages_explicit": options.stages is not None,
            "watermark_payload": protection.with_payload().watermark_payload,
        }
    )


def _check_encoder(name: str | None, config: GatewayConfig) -> None:
    """Refuse names by which a caller could make the gateway open a path or a hub repository."""
    if name in (None, config.encoder):
        return
    members = set(name.removeprefix("ensemble:").split("+"))
    if not members <= set(encoder_names()):
        valid = ", ".join((*encoder_names(), "ensemble:<name>+<name>"))
        raise InvalidRequest(f"unknown encoder {name[:80]!r}; valid: {valid}")
