"""Options of a job, as clients send them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from artscraper_runner import processor_names

MAX_BATCH = 100  # pictures


def _split_names(value: object) -> object:
    """Form fields carry lists as `a,b`; an empty field, as browsers send it, means the default."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()] or None
    return value


class JobOptions(BaseModel):
    """What a caller may choose about a job, however the picture comes."""

    model_config = ConfigDict(extra="forbid")

    processors: Annotated[list[str] | None, BeforeValidator(_split_names)] = Field(
        None, description="analysis processors to run; none given = all", max_length=32
    )
    include_hash_analysis: bool = Field(True, description="write analysis.json")
    include_protection: bool = Field(True, description="run the protection stages")
    enable_tineye: bool = Field(False, description="send the picture to TinEye's reverse search")

    stages: Annotated[list[str] | None, BeforeValidator(_split_names)] = Field(
        None,
        description="protection stages, in this order, but for stegano-embed and c2pa, which run"
        " last; none given = the gateway's",
        max_length=32,
    )
    strength: Literal["low", "medium", "high"] | None = Field(
        None, description="how far pixels may change: 4, 8 or 16 of 255; none = the gateway's"
    )
    encoder: str | None = Field(
        None, max_length=200, description="what the attacks look through; none = the gateway's"
    )
    preset: Literal["default", "published"] | None = Field(
        None,
        description="numbers of the attacks: ours, or each paper's own, which take minutes;"
        " none = the gateway's",
    )
    seed: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="same seed, same picture: same layers of the attacks, while the watermark says"
        " each job's own number unless there is a watermark_text; none = the gateway's",
    )
    nightshade_target: str | None = Field(
        None,
        max_length=200,
        description="concept that nightshade moves towards; none = the gateway's",
    )
    watermark_text: str | None = Field(
        None, max_length=200, description="up to 10 bytes in the watermark; none = a job's number"
    )
    watermark_method: Literal["tiled", "dwtDctSvd"] | None = Field(
        None, description="how the watermark is hidden; none = tiled, which survives the web"
    )
    priority: int = Field(0, ge=-100, le=100, description="jobs of a higher one run sooner")
    callback_url: str | None = Field(
        None, max_length=2000, description="http or https URL that is told of the job's end"
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
    """A JSON request: the picture is named, by a URL or by a path on the gateway's machine."""

    image_url: str | None = Field(None, max_length=8192, description="http or https URL")
    local_path: str | None = Field(None, max_length=8192, description="path inside a local root")

    @model_validator(mode="after")
    def _exactly_one_source(self) -> Self:
        if (self.image_url is None) == (self.local_path is None):
            raise ValueError("expected exactly one of image_url and local_path")
        return self

    def options(self) -> JobOptions:
        """Returns the part that does not name the picture."""
        return JobOptions.model_validate(
            self.model_dump(exclude={"image_url", "local_path"}, exclude_unset=True)
        )


class BatchByReference(JobOptions):
    """A JSON request for a batch; an item's own options beat those beside `items`."""

    items: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=MAX_BATCH,
        description="what a job's request holds, each: image_url or local_path, and options",
    )

    def each(self) -> list[dict[str, Any]]:
        """Returns each item with the options that it does not name itself."""
        shared = self.model_dump(exclude={"items"}, exclude_unset=True)
        return [{**shared, **item} for item in self.items]
