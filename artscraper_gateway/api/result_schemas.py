"""Models of results: summary, analysis, layers and links to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from artscraper_gateway.api.schemas import (
    JOB_ID,
    JOB_PATH,
    NOTE_EXAMPLE,
    JobLinks,
    Note,
    example,
)


class LayerMetrics(BaseModel):
    """Metrics of a layer's file. Stages add metrics of their own."""

    model_config = ConfigDict(extra="allow")

    linf: int | None = Field(None, description="largest change of a pixel, 0 to 255")
    psnr_db: float | None = Field(None, description="null if nothing changed")
    ssim: float | None = Field(None, description="1 if equal")
    visibility: float | None = Field(None, description="1 is just noticeable side by side")
    visibility_place: list[float] | None = Field(
        None, description="where it is most visible: shares of width and height"
    )
    visibility_bound: float | None = Field(None, description="most that the strength allows")
    effective: bool | None = Field(None, description="whether it does more than noise does")
    verdict: str | None = Field(None, description="the same in words")


class LayerEntry(BaseModel):
    """One layer: the picture after a stage. Stages may add fields."""

    model_config = ConfigDict(extra="allow")

    stage: str
    description: str
    path: str | None = Field(description="absolute path on the server; null if not shown")
    url: str = Field(description="where the layer is served, relative to the host")
    media_type: str = Field(description="of the file, such as image/jpeg")
    processing_size: list[int] = Field(description="width and height in px")
    applied: bool = Field(description="whether the stage changed the picture")
    reason: str | None = Field(description="why it did not apply")
    mask_path: str | None = Field(None, description="path of the picture of the change")
    mask_url: str | None = Field(None, description="where the mask is served")
    metrics: LayerMetrics | None = Field(None, description="null for the original")


class ProjectEntry(BaseModel):
    """A published work that the gateway uses."""

    model_config = ConfigDict(extra="allow")

    name: str
    applied: bool
    notes: str
    layer_path: str | None = None
    evidence: Any | None = None


class Summary(BaseModel):
    """The summary of the protection: summary.json with URLs."""

    model_config = ConfigDict(extra="allow")

    image: str | None = Field(description="absolute path of the upload; null if not shown")
    analysis: str | None = Field(description="path of analysis.json; null without analysis")
    layers: list[LayerEntry]
    notes: list[Note] = Field(default_factory=list)
    projects: list[ProjectEntry]


class ProcessorEntry(BaseModel):
    """The result of one analysis processor."""

    name: str
    ok: bool
    data: dict[str, Any] | None = Field(description="by processor; null if it failed")
    error: str | None


class Analysis(BaseModel):
    """analysis.json."""

    model_config = ConfigDict(extra="allow")

    image_path: str | None = Field(description="absolute path; null if not shown")
    processors: list[ProcessorEntry]


class JobResult(BaseModel):
    """The result of a finished job."""

    model_config = example(
        {
            "job_id": JOB_ID,
            "summary": {
                "image": f"/srv/gateway_jobs/{JOB_ID}/input/image.jpg",
                "analysis": f"/srv/outputs/{JOB_ID}/analysis.json",
                "layers": [
                    {
                        "stage": "mist",
                        "description": "Mist in textural mode.",
                        "path": f"/srv/outputs/{JOB_ID}/layers/03-mist/image.jpg",
                        "url": f"{JOB_PATH}/layers/mist",
                        "media_type": "image/jpeg",
                        "processing_size": [1024, 768],
                        "applied": True,
                        "reason": None,
                        "mask_path": f"/srv/outputs/{JOB_ID}/masks/03-mist.png",
                        "mask_url": f"{JOB_PATH}/masks/mist",
                        "metrics": {"psnr_db": 36.8, "ssim": 0.961, "linf": 8, "effective": True},
                    }
                ],
                "notes": [NOTE_EXAMPLE],
                "projects": [{"name": "Mist v2", "applied": True, "notes": "textural mode"}],
            },
            "analysis": {
                "image_path": f"/srv/gateway_jobs/{JOB_ID}/input/image.jpg",
                "processors": [
                    {"name": "dhash", "ok": True, "data": {"hex": "0f1e"}, "error": None}
                ],
            },
            "output_dir": f"/srv/outputs/{JOB_ID}",
            "links": {
                "self": JOB_PATH,
                "events": f"{JOB_PATH}/events",
                "result": f"{JOB_PATH}/result",
                "final": f"{JOB_PATH}/layers/final",
                "archive": f"{JOB_PATH}/archive.zip",
            },
        }
    )

    job_id: str
    summary: Summary
    analysis: Analysis | None = Field(description="null if no analysis was requested")
    output_dir: str | None = Field(description="absolute folder of the results; null if not shown")
    links: JobLinks


class SignedLink(BaseModel):
    """A link that works without an API key until it expires."""

    model_config = example(
        {
            "url": f"{JOB_PATH}/layers/final?expires=1767323045&signature=Zm9v",
            "expires_at": "2026-01-02T03:04:05Z",
        }
    )

    url: str = Field(description="relative to the host; takes `size` as well")
    expires_at: datetime
