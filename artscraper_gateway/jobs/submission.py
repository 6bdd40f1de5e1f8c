"""Accept a picture in four steps: resolve the request, stage the picture, enqueue, respond.

A picture that is refused leaves no file behind.
"""

from __future__ import annotations

import inspect
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from anyio import CancelScope, CapacityLimiter
from anyio.to_thread import run_sync
from sqlalchemy.exc import SQLAlchemyError

from artscraper_gateway.errors import (
    BrokenPicture,
    NotFound,
    TooLarge,
    UnsupportedPicture,
)
from artscraper_gateway.jobs.idempotency import IdempotencyClaim, Kind, find_earlier, fingerprint
from artscraper_gateway.jobs.listing import JobListing, JobView
from artscraper_gateway.jobs.models import NewJob
from artscraper_gateway.jobs.queue import JobQueue, QueueQuota, queue_for
from artscraper_gateway.jobs.request import JobOptions, JobRequest, resolve_request
from artscraper_gateway.observability.logging import current_request_id, log_context
from artscraper_gateway.observability.metrics import Metrics
from artscraper_gateway.observability.tracing import Tracing
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import Storage, StorageHealth, as_storage_failure
from artscraper_gateway.storage.paths import JobFolders
from artscraper_runner import BrokenPicture as RunnerBrokenPicture
from artscraper_runner import (
    PictureHeader,
    PictureTooLarge,
    UnsupportedVariant,
    inspect_picture,
)
from artscraper_runner import UnsupportedPicture as RunnerUnsupportedPicture

# More threads would not be faster, only compete for the interpreter.
_THREADS = 2
_log = logging.getLogger(__name__)
_INCOMING = "incoming"
ThreadReceiver = Callable[[Path], None]  # writes a picture to the path
Receiver = Callable[[Path], Awaitable[object]] | ThreadReceiver
Digest = Callable[[], str]


@dataclass(frozen=True)
class IncomingPicture:
    """A picture to accept a job for.

    `receive` writes it to a path: a coroutine function if it comes over the network, else a plain
    function, called in the thread that also checks and enqueues. `targets` write the caller's own
    pictures for stages, by option. `name` identifies a picture that is named; if its bytes are
    sent it is None, and `content` and `target_contents` return their digests. `file_name` is the
    clean name of the upload.
    """

    receive: Receiver
    options: JobOptions
    targets: Mapping[str, ThreadReceiver] = field(default_factory=dict)
    name: str | None = None
    content: Digest | None = None
    target_contents: Mapping[str, Digest] = field(default_factory=dict)
    file_name: str | None = None

    @property
    def is_downloaded(self) -> bool:
        """Return whether the picture comes over the network, so that no thread may wait for it."""
        return inspect.iscoroutinefunction(self.receive)


@dataclass(frozen=True)
class Submission:
    """Accepts jobs."""

    config: GatewayConfig
    queue: JobQueue
    storage: Storage
    health: StorageHealth
    listing: JobListing
    metrics: Metrics
    tracing: Tracing
    threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_THREADS))

    async def accept(
        self, picture: IncomingPicture, quota: QueueQuota, *, key: str | None = None
    ) -> JobView:
        """Return the picture's new job, queued, or the one that the idempotency key led to.

        Raises:
            GatewayError: the request or the picture was refused, or could not be stored; nothing
                was accepted.
        """
        request = self.resolve(picture, quota)
        earlier = await self.find_earlier("job", [picture], quota, key)
        if earlier is not None:
            return await run_sync(self.respond, earlier)
        job_id = uuid.uuid4().hex
        async with self.staging_folder(job_id):
            await self.download(picture, job_id)

            def finish() -> JobView:  # in one thread: each hop costs every submission
                new = self.stage(picture, request, job_id, quota)
                return self.enqueue(picture, new, quota, key)

            return await run_sync(finish, limiter=self.threads)

    def resolve(self, picture: IncomingPicture, quota: QueueQuota) -> JobRequest:
        """Complete and check the picture's options.

        Raises:
            InvalidRequest, ForbiddenAddress: they cannot be used.
        """
        quota.check_priority(picture.options.priority)
        return resolve_request(picture.options, self.config)

    async def download(self, picture: IncomingPicture, job_id: str) -> None:
        """Write a picture that comes over the network into the job's folder."""
        if picture.is_downloaded:
            receive = cast(Callable[[Path], Awaitable[object]], picture.receive)
            await receive(JobFolders.of(job_id, self.config).input / _INCOMING)

    def stage(
        self, picture: IncomingPicture, request: JobRequest, job_id: str, quota: QueueQuota
    ) -> NewJob:
        """Receive the picture unless it was downloaded, check it, and store it. Blocks.

        Raises:
            GatewayError: the picture was refused, or could not be stored.
        """
        self.health.check()
        folder = JobFolders.of(job_id, self.config).input
        if not picture.is_downloaded:
            cast(ThreadReceiver, picture.receive)(folder / _INCOMING)
        source = self._rename_by_content(folder, "image")
        files = {}
        for name, receive_target in picture.targets.items():
            receive_target(folder / _INCOMING)
            files[name] = self._rename_by_content(folder, name.replace("_", "-"), field=name)
        # The origin links the worker's log lines and spans to this HTTP request.
        origin = {"request_id": current_request_id(), **self.tracing.carrier()}
        upload_name = picture.file_name if self.config.keeps_names else None
        request = request.model_copy(
            update={"target_files": files, "origin": origin, "upload_name": upload_name}
        )
        with as_storage_failure():
            size = (folder / source).stat().st_size
            self.storage.put_input(job_id)
        return NewJob(
            id=job_id,
            source=source,
            request=request,
            queue=queue_for(request, gpu_queue=self.config.gpu_queue),
            owner=quota.owner,
            priority=picture.options.priority,
            callback_url=picture.options.callback_url,
            disk_bytes=size,
        )

    def enqueue(
        self, picture: IncomingPicture, new: NewJob, quota: QueueQuota, key: str | None
    ) -> JobView:
        """Add the job, or find the one that the idempotency key led to. Blocks."""
        requested = None if key is None else idempotency_claim("job", [picture], quota, key)
        accepted = self.queue.submit(new, quota, idempotency=requested)
        if isinstance(accepted, str):
            self.discard_unless_accepted(new.id)
            return self.respond(accepted)
        self.on_accepted(new)
        return accepted

    def respond(self, job_id: str) -> JobView:
        """Return the current state of a job that was accepted before. Blocks."""
        view = self.listing.show(job_id)
        if view is None:
            raise NotFound("The job of this Idempotency-Key was deleted meanwhile.")
        return view

    async def find_earlier(
        self, kind: Kind, pictures: Sequence[IncomingPicture], quota: QueueQuota, key: str | None
    ) -> str | None:
        """Return the earlier job or batch of the key, which saves a download.

        Raises:
            IdempotencyKeyReused: it was used with another payload.
        """
        if key is None or any(picture.name is None for picture in pictures):
            return None
        requested = idempotency_claim(kind, pictures, quota, key)
        return await run_sync(find_earlier, self.listing.engine, requested)

    @asynccontextmanager
    async def staging_folder(self, job_id: str) -> AsyncIterator[None]:
        """Make the job's folder; it is removed at an error unless the job was accepted."""
        with as_storage_failure():
            JobFolders.of(job_id, self.config).input.mkdir(parents=True)
        try:
            yield
        except BaseException:
            with CancelScope(shield=True):
                await run_sync(self.discard_unless_accepted, job_id)
            raise

    def discard_unless_accepted(self, *job_ids: str) -> None:
        """Remove the files of jobs that were not added; cleanup removes later what stays. Blocks.

        A request that is cut off at shutdown may have been accepted a moment before.
        """
        try:
            for job_id in set(job_ids) - self.queue.existing_ids(job_ids):
                self.storage.remove_upload(job_id)
        except (OSError, SQLAlchemyError) as error:
            _log.warning("files of a rejected request could not be removed yet: %s", error)

    def on_accepted(self, new: NewJob) -> None:
        """Count and log a job that was added, and remove what only its staging needed."""
        self.storage.discard_staging(new.id)
        self.metrics.jobs_accepted.inc()
        with log_context(job_id=new.id):
            _log.info("accepted, for the queue %s", new.queue)

    def check_header(self, path: Path, *, field: str = "") -> PictureHeader:
        """Return the header of the picture at `path`; refusals name the form field `field`.

        Raises:
            UnsupportedPicture, TooLarge, BrokenPicture: it is refused.
        """
        prefix = f"{field}: " if field else ""
        try:
            return inspect_picture(path, self.config.picture_limits)
        except RunnerUnsupportedPicture as error:
            raise UnsupportedPicture(f"{prefix}{error}") from error
        except PictureTooLarge as error:
            raise TooLarge(f"{prefix}{error}") from error
        except (RunnerBrokenPicture, UnsupportedVariant) as error:
            raise BrokenPicture(f"{prefix}{error}") from error

    def _rename_by_content(self, folder: Path, name: str, *, field: str = "") -> str:
        """Check the received picture and name it by its content, never by a sent name."""
        header = self.check_header(folder / _INCOMING, field=field)
        target = folder / f"{name}{header.suffix}"
        (folder / _INCOMING).rename(target)
        return target.name


def idempotency_claim(
    kind: Kind, pictures: Sequence[IncomingPicture], quota: QueueQuota, key: str
) -> IdempotencyClaim:
    """Return the claim of a key for the pictures. Blocks if they were sent: it reads them."""
    payloads = [_payload(picture) for picture in pictures]
    return IdempotencyClaim(quota.owner, key, fingerprint(kind, payloads))


def _payload(picture: IncomingPicture) -> dict[str, Any]:
    return {
        "options": picture.options.model_dump(mode="json", exclude_unset=True),
        "name": picture.name,
        "content": None if picture.content is None else picture.content(),
        "targets": {name: digest() for name, digest in picture.target_contents.items()},
    }
