"""Dependencies of routes: single services, and the jobs that the caller may see."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Request

from artscraper_gateway.api.schemas import JobLinks, JobState
from artscraper_gateway.auth.keys import Keyring
from artscraper_gateway.auth.signed_links import LinkSigner
from artscraper_gateway.errors import JobFailed, NotFound, NotReady
from artscraper_gateway.jobs.batches import Batches
from artscraper_gateway.jobs.deletion import Deletion
from artscraper_gateway.jobs.listing import JobListing, JobView
from artscraper_gateway.jobs.models import Job
from artscraper_gateway.jobs.queue import JobQueue, QueueQuota
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.jobs.submission import Submission
from artscraper_gateway.jobs.watcher import JobWatch
from artscraper_gateway.observability.metrics import Metrics
from artscraper_gateway.observability.prometheus import MetricsCollector
from artscraper_gateway.observability.readiness import Readiness
from artscraper_gateway.sandbox.previews import Previews
from artscraper_gateway.sandbox.strength_previews import StrengthPreviews
from artscraper_gateway.sandbox.watermarks import WatermarkReader
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import SUMMARY, Storage
from artscraper_gateway.storage.paths import is_job_id
from artscraper_gateway.webhooks.repository import DeliveryLog

ORIGINAL, FINAL = "original", "final"
MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".avif": "image/avif",
}


@dataclass(frozen=True)
class Services:
    """The services of one app, made at its start and kept in `app.state.services`."""

    config: GatewayConfig
    store: JobStore
    queue: JobQueue
    listing: JobListing
    watch: JobWatch
    submission: Submission
    batches: Batches
    deletion: Deletion
    deliveries: DeliveryLog
    keyring: Keyring
    signer: LinkSigner
    reader: WatermarkReader
    previews: Previews
    strength_previews: StrengthPreviews
    storage: Storage
    metrics: Metrics
    readiness: Readiness
    collector: MetricsCollector


def services_of(request: Request) -> Services:
    """Return the services of the request's app."""
    services: Services = request.app.state.services
    return services


def _depends(name: str) -> Any:
    def service(request: Request) -> Any:
        return getattr(services_of(request), name)

    return Depends(service)


Config = Annotated[GatewayConfig, _depends("config")]
Watch = Annotated[JobWatch, _depends("watch")]
Submissions = Annotated[Submission, _depends("submission")]
BatchService = Annotated[Batches, _depends("batches")]
Deletions = Annotated[Deletion, _depends("deletion")]
Deliveries = Annotated[DeliveryLog, _depends("deliveries")]
Signer = Annotated[LinkSigner, _depends("signer")]
Reader = Annotated[WatermarkReader, _depends("reader")]
PreviewService = Annotated[Previews, _depends("previews")]
StrengthPreviewService = Annotated[StrengthPreviews, _depends("strength_previews")]
Queue = Annotated[JobQueue, _depends("queue")]
Counters = Annotated[Metrics, _depends("metrics")]


@dataclass(frozen=True)
class Caller:
    """The caller of a route. `owner` is the id of their API key, "" where none is needed."""

    owner: str = ""
    sees_all: bool = False
    max_queued: int | None = None
    max_priority: int | None = None


@dataclass(frozen=True)
class JobUrls:
    """URLs of a job's resources below `root_path`, the path that a proxy serves.

    They are relative to the host, so a proxy's name and scheme cannot be wrong.
    """

    root_path: str = ""

    def job(self, job_id: str, *parts: str) -> str:
        """Return the URL of a job, or of what `parts` name below it."""
        tail = "".join(f"/{quote(part, safe='')}" for part in parts)
        return f"{self.root_path}/v1/jobs/{job_id}{tail}"

    def batch(self, batch_id: str) -> str:
        """Return the URL of a batch."""
        return f"{self.root_path}/v1/batches/{batch_id}"

    def of_job(self, job_id: str, *, has_result: bool) -> JobLinks:
        """Return the links of a job; those of its result are None until the job is done."""
        return JobLinks(
            self_url=self.job(job_id),
            events=self.job(job_id, "events"),
            result=self.job(job_id, "result") if has_result else None,
            final=self.job(job_id, "layers", "final") if has_result else None,
            archive=self.job(job_id, "archive.zip") if has_result else None,
        )

    def link_header(self, job_id: str) -> str:
        """Return a Link header that leads from a picture to its job (RFC 8288, RFC 8631)."""
        return ", ".join(
            f'<{url}>; rel="{relation}"'
            for relation, url in (
                ("status", self.job(job_id)),
                ("describedby", self.job(job_id, "result")),
                ("item", self.job(job_id, "layers", "final")),
            )
        )


@dataclass(frozen=True)
class CallerJobs:
    """The jobs that one caller may see. Jobs of other callers look like unknown ones."""

    caller: Caller
    config: GatewayConfig
    store: JobStore
    listing: JobListing
    storage: Storage
    urls: JobUrls

    @classmethod
    def of(cls, request: Request, caller: Caller) -> CallerJobs:
        """Return the caller's jobs, with URLs below the path that the request came by."""
        services = services_of(request)
        return cls(
            caller=caller,
            config=services.config,
            store=services.store,
            listing=services.listing,
            storage=services.storage,
            urls=JobUrls(str(request.scope.get("root_path", ""))),
        )

    @property
    def quota(self) -> QueueQuota:
        """Return the limits on the caller's jobs."""
        caller = self.caller
        return QueueQuota(
            caller.owner, self.config.max_queued, caller.max_queued, caller.max_priority
        )

    def may_see(self, owner: str) -> bool:
        """Return whether the caller may see resources of `owner`."""
        return self.caller.sees_all or owner == self.caller.owner

    def find(self, job_id: str) -> Job:
        """Return the job. Raises NotFound for unknown jobs and for jobs of other callers."""
        job = self.store.find(job_id) if is_job_id(job_id) else None
        if job is None or not self.may_see(job.owner):
            raise NotFound("There is no job with this id.")
        return job

    def state(self, job_id: str) -> JobState:
        """Return the job's state with its place in the queue and its notes; raises as `find`."""
        view = self.listing.show(job_id) if is_job_id(job_id) else None
        if view is None or not self.may_see(view.job.owner):
            raise NotFound("There is no job with this id.")
        return self.view(view)

    def view(self, view: JobView) -> JobState:
        """Return the state of a job that was looked up with its place in the queue. Blocks."""
        return self.describe(
            view.job, queue_position=view.queue_position, notes=self._notes(view.job)
        )

    def describe(
        self,
        job: Job,
        *,
        queue_position: int | None = None,
        notes: list[dict[str, Any]] | None = None,
    ) -> JobState:
        """Return the state of a job as callers see it."""
        return JobState.of(
            job,
            links=self.urls.of_job(job.id, has_result=job.status == "done"),
            queue_position=queue_position,
            ttl_s=self.config.job_ttl,
            notes=notes,
        )

    def finished(self, job_id: str) -> Job:
        """Return the job if it has a result.

        Raises:
            NotFound: there is no such job.
            NotReady: it has not finished.
            JobFailed: it ended in error.
        """
        job = self.find(job_id)
        if job.status == "error":
            raise JobFailed(f"The job failed: {job.error}")
        if not job.is_finished:
            raise NotReady(
                f"The job is {job.status}; try again in a moment.", headers={"Retry-After": "1"}
            )
        return job

    def results(self, job: Job) -> Path:
        """Return the local folder with the results of a finished job. Blocks.

        Raises:
            NotFound: the results are gone from storage.
        """
        with suppress(FileNotFoundError):
            folder = self.storage.output(job.id)
            if (folder / SUMMARY).is_file():
                return folder
        raise NotFound("The job's results are no longer on the server's disk.")

    def summary(self, job: Job) -> dict[str, Any]:
        """Return the content of summary.json; raises as `results`."""
        return read_json(self.results(job) / SUMMARY)

    def layer_file(self, job: Job, stage: str, field: str = "path") -> LayerFile:
        """Return the file of a layer of a finished job, or of its mask (`field`: `mask_path`).

        The stage is looked up among the layers in the summary, never joined to a path. `final` is
        the last layer, whatever it is called.

        Raises:
            NotFound: there is no such layer, or its file is gone.
        """
        layers = [layer for layer in self.summary(job)["layers"] if field in layer]
        names = [layer["stage"] for layer in layers]
        if stage == FINAL and names:
            stage = names[-1]
        if stage not in names:
            kind = "layer" if field == "path" else "mask"
            raise NotFound(f"The job has no {kind} of this name; it has: {', '.join(names)}.")
        index = names.index(stage)
        parts = 3 if field == "path" else 2  # layers/NN-stage/file or masks/file
        path = self.results(job).joinpath(*PurePath(layers[index][field]).parts[-parts:])
        if not path.is_file():
            raise NotFound("The picture is no longer on the server's disk.")
        return LayerFile(path, stage, index, is_final=index == len(layers) - 1)

    def check_kept(self, job_id: str) -> None:
        """Remove files that were fetched or made while their job was deleted; raises NotFound."""
        if self.store.find(job_id) is None:
            self.storage.remove(job_id)
            raise NotFound("The job was deleted meanwhile.")

    def _notes(self, job: Job) -> list[dict[str, Any]] | None:
        if job.status != "done":
            return None
        try:
            notes: list[dict[str, Any]] | None = self.summary(job).get("notes")
        except (NotFound, OSError, ValueError):  # the state is answered without them
            return None
        return notes


@dataclass(frozen=True)
class LayerFile:
    """A file of a layer: `index` counts from 0, the original."""

    path: Path
    stage: str
    index: int
    is_final: bool


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of the file. Raises NotFound if it is missing."""
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise NotFound("The job's results are no longer on the server's disk.") from error
    return content
