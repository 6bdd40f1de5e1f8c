"""Options of a job, as clients send them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from typing_extensions import TypeAliasType

from artscraper_runner import processor_names

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


class PictureOptions(BaseModel):
    """Options of the pipelines for one picture. None: the default of the gateway's settings."""

    processors: Annotated[tuple[str, ...] | None, BeforeValidator(_split_names)] = Field(
        None, description="analysis processors to run; none given = all", max_length=32
    )
    include_hash_analysis: bool = Field(True, description="write analysis.json")
    include_protection: bool = Field(True, description="run the protection stages")
    enable_tineye: bool = Field(False, description="send the picture to TinEye's reverse search")
    stages: Annotated[tuple[str, ...] | None, BeforeValidator(_split_names)] = Field(
        None,
        description="protection stages, in this order, but for stegano-embed and c2pa, which run"
        " last; none given = the gateway's",
        max_length=32,
    )
    strength: Strength | None = Field(
        None,
        description="what may be seen of the change: nothing (low), hardly anything (medium),"
        " something where the picture is smooth (high); none = the gateway's",
    )
    encoder: str | None = Field(
        None,
        max_length=200,
        description="model that the attacks differentiate through; none = the gateway's",
    )
    preset: Preset | None = Field(
        None,
        description="attack parameters: this gateway's, or each paper's own, which take minutes;"
        " none = the gateway's",
    )
    seed: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="the same seed and picture give the same attack layers; the watermark carries"
        " each job's own number unless watermark_text is set; none = the gateway's",
    )
    nightshade_target: str | None = Field(
        None,
        max_length=200,
        description="concept that nightshade moves towards; none = the gateway's",
    )
    watermark_text: str | None = Field(
        None, max_length=200, description="up to 10 bytes in the watermark; none = a job's number"
    )
    watermark_method: WatermarkMethod | None = Field(
        None, description="how the watermark is hidden; none = tiled, which survives the web"
    )
    keep_watermark: bool = Field(
        False, description="keep the watermark of a picture that carries one already"
    )
    copyright_notice: str | None = Field(
        None, max_length=500, description="stage c2pa writes it into XMP as dc:rights"
    )
    usage_terms: str | None = Field(
        None, max_length=500, description="stage c2pa writes it into XMP as xmpRights:UsageTerms"
    )
    allow_search_engines: bool = Field(
        False, description="stage c2pa states that search engines may index the picture"
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
