"""Take pictures in: stage them, look at their headers, and only then accept jobs for them."""

from __future__ import annotations

import inspect
import logging
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from anyio import CancelScope, CapacityLimiter
from anyio.to_thread import run_sync
from sqlalchemy.exc import SQLAlchemyError

from artscraper_gateway.errors import (
    BrokenPicture,
    NotFound,
    StorageFailed,
    TooLarge,
    UnsupportedPicture,
)
from artscraper_gateway.jobs.idempotency import IdempotencyClaim, Kind, find_answer, fingerprint
from artscraper_gateway.jobs.listing import JobListing, ShownJob
from artscraper_gateway.jobs.models import NewJob
from artscraper_gateway.jobs.options import JobOptions
from artscraper_gateway.jobs.queue import JobQueue, Terms, queue_for
from artscraper_gateway.jobs.request import JobRequest, resolve_request
from artscraper_gateway.observability.logging import about, current_request_id
from artscraper_gateway.observability.metrics import JOBS_ACCEPTED, Recorder
from artscraper_gateway.observability.tracing import Tracing
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import Storage
from artscraper_gateway.storage.paths import JobFolders
from artscraper_runner import BrokenPicture as RunnerBrokenPicture
from artscraper_runner import PictureHeader, PictureTooLarge, inspect_picture
from artscraper_runner import UnsupportedPicture as RunnerUnsupportedPicture

# More threads would not be faster, only fight over the interpreter and make the slowest slower.
_THREADS = 2
_log = logging.getLogger(__name__)
_INCOMING = "incoming"
# Write a picture to the path they are given.
ThreadReceiver = Callable[[Path], None]
Receiver = Callable[[Path], Awaitable[object]] | ThreadReceiver
Digest = Callable[[], str]


@dataclass(frozen=True)
class Offer:
    """A picture that somebody wants a job for. `receive` and `targets` write files.

    A plain function is called in the thread that also checks and enqueues: every hop between
    threads is paid for by each submission. `targets` write the caller's own pictures for stages,
    by the names of their fields. `name` is what the picture is named by; None = its bytes are sent,
    and `content` and `target_contents` return the digests of what was sent.
    """

    receive: Receiver
    options: JobOptions
    targets: Mapping[str, ThreadReceiver] = field(default_factory=dict)
    name: str | None = None
    content: Digest | None = None
    target_contents: Mapping[str, Digest] = field(default_factory=dict)

    @property
    def is_fetched(self) -> bool:
        """Whether the picture comes over the network, so that no thread may wait for it."""
        return inspect.iscoroutinefunction(self.receive)


@dataclass(frozen=True)
class Submission:
    """Accepts jobs. A picture that is refused leaves no file behind."""

    config: GatewayConfig
    queue: JobQueue
    storage: Storage
    listing: JobListing
    recorder: Recorder
    tracing: Tracing
    threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_THREADS))

    async def accept(self, offer: Offer, terms: Terms, *, key: str | None = None) -> ShownJob:
        """Stages the picture and returns its job, queued; or that of the same idempotency key.

        Raises:
            GatewayError: the request or the picture was refused, or could not be stored; nothing
                was accepted.
        """
        request = resolve_request(offer.options, self.config)
        answer = await self.find_answer("job", [offer], terms, key)
        if answer is not None:
            return await run_sync(self._again, answer)
        job_id = uuid.uuid4().hex
        async with self.folder(job_id):
            await self.fetch(offer, job_id)
            enqueue = partial(self._enqueue, offer, request, job_id, terms, key)
            return await run_sync(enqueue, limiter=self.threads)

    async def find_answer(
        self, kind: Kind, offers: Sequence[Offer], terms: Terms, key: str | None
    ) -> str | None:
        """Returns what the key led to before, for pictures that are named; fetches none of them.

        None where the key is free, or pictures were sent.

        Raises:
            IdempotencyKeyReused: it came with another payload before.
        """
        if key is None or any(offer.name is None for offer in offers):
            return None
        asked = claim_of(kind, offers, terms, key)
        return await run_sync(find_answer, self.listing.engine, asked)

    async def fetch(self, offer: Offer, job_id: str) -> None:
        """Fetches a picture that comes over the network into the job's folder."""
        if offer.is_fetched:
            receive = cast(Callable[[Path], Awaitable[object]], offer.receive)
            await receive(JobFolders.of(job_id, self.config).input / _INCOMING)

    def stage(self, offer: Offer, request: JobRequest, job_id: str, terms: Terms) -> NewJob:
        """Checks what was fetched, or receives it first, and returns the job to be added. Blocks.

        Raises:
            GatewayError: the picture is refused.
        """
        folder = JobFolders.of(job_id, self.config).input
        if not offer.is_fetched:
            cast(ThreadReceiver, offer.receive)(folder / _INCOMING)
        source = self._name_by_content(folder, "image")
        files = {}
        for name, receive_target in offer.targets.items():
            receive_target(folder / _INCOMING)
            files[name] = self._name_by_content(folder, name.replace("_", "-"), field=name)
        # The origin links the worker's log lines and spans to this HTTP request.
        origin = {"request_id": current_request_id(), **self.tracing.carrier()}
        request = request.model_copy(update={"target_files": files, "origin": origin})
        return NewJob(
            id=job_id,
            source=source,
            request=request,
            queue=queue_for(request, gpu_queue=self.config.gpu_queue),
            owner=terms.owner,
            priority=offer.options.priority,
            callback_url=offer.options.callback_url,
            disk_bytes=(folder / source).stat().st_size,
        )

    @asynccontextmanager
    async def folder(self, job_id: str) -> AsyncIterator[None]:
        """Makes the job's folder; it is gone after the block unless the job was accepted."""
        folders = JobFolders.of(job_id, self.config)
        try:
            folders.input.mkdir(parents=True)
        except OSError as error:
            raise StorageFailed("The picture could not be stored; try again later.") from error
        try:
            yield
        except BaseException:
            with CancelScope(shield=True):
                await run_sync(self.discard_unless_accepted, job_id)
            raise

    def discard_unless_accepted(self, *job_ids: str) -> None:
        """Removes the files of jobs that were not added; what cannot be, tidying does later.

        A request that is cut off at shutdown may have been accepted a moment before. Blocks.
        """
        try:
            known = self.queue.known(job_ids)
        except SQLAlchemyError as error:
            _log.warning("files stay for now, for nobody knows of their jobs: %s", error.__cause__)
            return
        for job_id in set(job_ids) - known:
            self._discard(job_id)

    def _discard(self, job_id: str) -> None:
        try:
            self.storage.remove_upload(job_id)
        except OSError as error:
            _log.warning("what came for no job stays where it was kept for now: %s", error)
            intake = JobFolders.of(job_id, self.config).intake
            shutil.rmtree(intake, ignore_errors=True)
            with suppress(OSError):  # by its folder tidying finds what is kept elsewhere
                intake.mkdir(parents=True, exist_ok=True)

    def keep(self, new: NewJob) -> None:
        """Makes the staged picture reachable for workers, before the job is added. Blocks.

        Raises:
            StorageFailed: it could not be stored.
        """
        try:
            self.storage.keep_input(new.id)
        except OSError as error:
            raise StorageFailed("The picture could not be stored; try again later.") from error

    def tell_accepted(self, new: NewJob) -> None:
        """Counts and logs a job that was added, and removes what only its staging needed."""
        self.storage.end_staging(new.id)
        self.recorder.count(JOBS_ACCEPTED)
        with about(job_id=new.id):
            _log.info("accepted, for the queue %s", new.queue)

    def check_header(self, path: Path, *, field: str = "") -> PictureHeader:
        """Returns the header of the picture at `path`; `field` is what refusals call it by.

        Raises:
            UnsupportedPicture, TooLarge, BrokenPicture: it is refused.
        """
        about_it = f"{field}: " if field else ""
        try:
            return inspect_picture(path, self.config.picture_limits)
        except RunnerUnsupportedPicture as error:
            raise UnsupportedPicture(f"{about_it}{error}") from error
        except PictureTooLarge as error:
            raise TooLarge(f"{about_it}{error}") from error
        except RunnerBrokenPicture as error:
            raise BrokenPicture(f"{about_it}{error}") from error

    def _enqueue(
        self, offer: Offer, request: JobRequest, job_id: str, terms: Terms, key: str | None
    ) -> ShownJob:
        new = self.stage(offer, request, job_id, terms)
        asked = None if key is None else claim_of("job", [offer], terms, key)
        self.keep(new)
        accepted = self.queue.submit(new, terms, asked=asked)
        if isinstance(accepted, str):
            self.discard_unless_accepted(job_id)
            return self._again(accepted)
        self.tell_accepted(new)
        return accepted

    def _again(self, job_id: str) -> ShownJob:
        shown = self.listing.show(job_id)
        if shown is None:
            raise NotFound("The job of this Idempotency-Key was deleted meanwhile.")
        return shown

    def _name_by_content(self, folder: Path, name: str, *, field: str = "") -> str:
        """Checks what came in and gives it `name` with its real suffix; a sent name is not used."""
        header = self.check_header(folder / _INCOMING, field=field)
        target = folder / f"{name}{header.suffix}"
        (folder / _INCOMING).rename(target)
        return target.name


def claim_of(kind: Kind, offers: Sequence[Offer], terms: Terms, key: str) -> IdempotencyClaim:
    """Returns the claim of a key for what was asked, whatever becomes of it.

    Blocks where pictures were sent.
    """
    sent = [_payload(offer) for offer in offers]
    return IdempotencyClaim(terms.owner, key, fingerprint(kind, sent))


def _payload(offer: Offer) -> dict[str, Any]:
    return {
        "options": offer.options.model_dump(exclude_unset=True),
        "name": offer.name,
        "content": None if offer.content is None else offer.content(),
        "targets": {name: digest() for name, digest in offer.target_contents.items()},
    }
