"""What requests may say and what answers look like."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from artscraper_gateway.store import Job, Status
from artscraper_runner import processor_names


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
        " last; none given = all but the optional ones",
        max_length=32,
    )
    strength: Literal["low", "medium", "high"] | None = Field(
        None, description="how far pixels may change: 4, 8 or 16 of 255; none = the gateway's"
    )
    encoder: str | None = Field(
        None, max_length=200, description="what the attacks look through; none = the gateway's"
    )
    seed: int | None = Field(
        None, ge=0, le=2**31 - 1, description="same seed, same picture: same bytes; none = 0"
    )
    nightshade_target: str | None = Field(
        None, max_length=200, description="concept that nightshade moves towards; none = forest"
    )
    watermark_text: str | None = Field(
        None, max_length=200, description="up to 10 bytes in the watermark; none = a job's number"
    )
    watermark_method: Literal["tiled", "dwtDctSvd"] | None = Field(
        None, description="how the watermark is hidden; none = tiled, which survives the web"
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


class JobState(BaseModel):
    """A job as it stands now. Times are RFC 3339, UTC."""

    job_id: str
    status: Status
    submitted_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    stage: str | None = Field(description="the stage that runs, or ran last")
    error: str | None = Field(description="why the job failed")

    @classmethod
    def of(cls, job: Job) -> JobState:
        """Returns what callers may know of `job`."""
        return cls(
            job_id=job.id,
            status=job.status,
            submitted_at=_moment(job.submitted_at),
            updated_at=_moment(job.updated_at),
            started_at=_moment(job.started_at) if job.started_at else None,
            finished_at=_moment(job.finished_at) if job.finished_at else None,
            stage=job.stage,
            error=job.error,
        )


class JobResult(BaseModel):
    """What a finished job produced."""

    job_id: str
    summary: dict[str, Any] = Field(description="summary.json")
    analysis: dict[str, Any] | None = Field(description="analysis.json; null when not asked for")
    output_dir: str = Field(description="absolute folder of the results")


class WatermarkReading(BaseModel):
    """What a picture's watermark says."""

    payload: str | None = Field(description="hex digits; null when no mark was found")
    text: str | None = Field(description="the payload as text, if it is one")
    confidence: float = Field(ge=0, le=1)
    job_id: str | None = Field(description="the job of this gateway that wrote it, if known")


class JobDeleted(BaseModel):
    """The answer to a deletion."""

    job_id: str
    status: Literal["deleted"]


class ProblemDetails(BaseModel):
    """An error as RFC 9457 has it; `code` is stable, `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
