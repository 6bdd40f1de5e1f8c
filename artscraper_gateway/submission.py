"""Take a picture in: stage it, look at its header, and only then accept a job for it."""

from __future__ import annotations

import inspect
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from artscraper_gateway.config import GatewayConfig
from artscraper_gateway.errors import BrokenPicture, StorageFailed, TooLarge, UnsupportedPicture
from artscraper_gateway.folders import JobFolders
from artscraper_gateway.job_queue import JobQueue
from artscraper_gateway.schemas import JobOptions
from artscraper_gateway.store import Job
from artscraper_runner import BrokenPicture as RunnerBrokenPicture
from artscraper_runner import PictureTooLarge, default_stages, inspect_picture
from artscraper_runner import UnsupportedPicture as RunnerUnsupportedPicture

# More threads would not be faster, only fight over the interpreter and make the slowest slower.
_THREADS = 4
# Writes the picture to the path it is given.
Receiver = Callable[[Path], Awaitable[object]] | Callable[[Path], None]


@dataclass(frozen=True)
class Submission:
    """Accepts jobs. A picture that is refused leaves no file behind."""

    config: GatewayConfig
    queue: JobQueue
    _threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_THREADS))

    async def accept(self, receive: Receiver, options: JobOptions) -> Job:
        """Stages the picture that `receive` writes and returns the queued job.

        A plain function is called in the thread that also checks and enqueues: every hop between
        threads is paid for by each submission.

        Raises:
            GatewayError: the picture was refused or could not be stored; nothing was accepted.
        """
        job_id = uuid.uuid4().hex
        folders = JobFolders.of(job_id, self.config)
        incoming = folders.input / "incoming"
        async with _removed_on_error(folders):
            if inspect.iscoroutinefunction(receive):
                await receive(incoming)
                return await run_sync(self._enqueue, job_id, incoming, options)
            return await run_sync(
                self._receive_and_enqueue, job_id, incoming, options, receive, limiter=self._threads
            )

    def _receive_and_enqueue(
        self, job_id: str, incoming: Path, options: JobOptions, receive: Receiver
    ) -> Job:
        receive(incoming)
        return self._enqueue(job_id, incoming, options)

    def _enqueue(self, job_id: str, incoming: Path, options: JobOptions) -> Job:
        source = self._name_by_content(incoming)
        request: dict[str, Any] = options.model_dump()
        request["stages"] = list(default_stages()) if options.include_protection else []
        return self.queue.submit(job_id, source=source, request=request)

    def _name_by_content(self, incoming: Path) -> str:
        """Checks the header and renames the file to what it is; its sent name is never used."""
        try:
            header = inspect_picture(incoming, self.config.picture_limits)
        except RunnerUnsupportedPicture as error:
            raise UnsupportedPicture(str(error)) from error
        except PictureTooLarge as error:
            raise TooLarge(str(error)) from error
        except RunnerBrokenPicture as error:
            raise BrokenPicture(str(error)) from error
        name = f"image{header.suffix}"
        incoming.rename(incoming.with_name(name))
        return name


@asynccontextmanager
async def _removed_on_error(folders: JobFolders) -> AsyncIterator[None]:
    try:
        try:
            folders.input.mkdir(parents=True)
        except OSError as error:
            raise StorageFailed("The picture could not be stored; try again later.") from error
        yield
    except BaseException:
        shutil.rmtree(folders.intake, ignore_errors=True)
        raise
