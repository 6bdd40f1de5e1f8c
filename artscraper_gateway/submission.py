"""Take a picture in: stage it, look at its header, and only then accept a job for it."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from artscraper_gateway.choices import Choices
from artscraper_gateway.config import GatewayConfig
from artscraper_gateway.errors import BrokenPicture, StorageFailed, TooLarge, UnsupportedPicture
from artscraper_gateway.folders import JobFolders
from artscraper_gateway.job_queue import JobQueue
from artscraper_gateway.schemas import JobOptions
from artscraper_gateway.storage import Storage
from artscraper_gateway.store import Job
from artscraper_runner import BrokenPicture as RunnerBrokenPicture
from artscraper_runner import PictureHeader, PictureTooLarge, inspect_picture
from artscraper_runner import UnsupportedPicture as RunnerUnsupportedPicture

# More threads would not be faster, only fight over the interpreter and make the slowest slower.
_THREADS = 4
_INCOMING = "incoming"
# Write a picture to the path they are given.
ThreadReceiver = Callable[[Path], None]
Receiver = Callable[[Path], Awaitable[object]] | ThreadReceiver


@dataclass(frozen=True)
class Submission:
    """Accepts jobs. A picture that is refused leaves no file behind."""

    config: GatewayConfig
    queue: JobQueue
    choices: Choices
    storage: Storage
    _threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_THREADS))

    async def accept(
        self, receive: Receiver, options: JobOptions, *, target: ThreadReceiver | None = None
    ) -> Job:
        """Stages the picture that `receive` writes and returns the queued job.

        A plain function is called in the thread that also checks and enqueues: every hop between
        threads is paid for by each submission. `target` writes the caller's own picture for
        nightshade.

        Raises:
            GatewayError: the request or the picture was refused, or could not be stored; nothing
                was accepted.
        """
        job_id = uuid.uuid4().hex
        request = self.choices.request(options)
        folders = JobFolders.of(job_id, self.config)
        async with self._removed_on_error(job_id, folders):
            if inspect.iscoroutinefunction(receive):
                await receive(folders.input / _INCOMING)
                received: tuple[ThreadReceiver | None, ...] = (None, target)
            else:
                received = (cast(ThreadReceiver, receive), target)
            enqueue = partial(self._enqueue, job_id, folders.input, request, received)
            return await run_sync(enqueue, limiter=self._threads)

    def _enqueue(
        self,
        job_id: str,
        folder: Path,
        request: dict[str, Any],
        receivers: tuple[ThreadReceiver | None, ...],
    ) -> Job:
        receive, receive_target = receivers
        if receive is not None:
            receive(folder / _INCOMING)
        source = self._name_by_content(folder, "image")
        if receive_target is not None:
            receive_target(folder / _INCOMING)
            request["nightshade_target_file"] = self._name_by_content(folder, "nightshade-target")
        try:
            self.storage.keep_input(job_id)
        except OSError as error:
            raise StorageFailed("The picture could not be stored; try again later.") from error
        return self.queue.submit(job_id, source=source, request=request)

    def _name_by_content(self, folder: Path, name: str) -> str:
        """Checks what came in and gives it `name` with its real suffix; a sent name is not used."""
        header = self.check_header(folder / _INCOMING)
        target = folder / f"{name}{header.suffix}"
        (folder / _INCOMING).rename(target)
        return target.name

    def check_header(self, path: Path) -> PictureHeader:
        """Returns the header of the picture at `path`.

        Raises:
            UnsupportedPicture, TooLarge, BrokenPicture: it is refused.
        """
        try:
            return inspect_picture(path, self.config.picture_limits)
        except RunnerUnsupportedPicture as error:
            raise UnsupportedPicture(str(error)) from error
        except PictureTooLarge as error:
            raise TooLarge(str(error)) from error
        except RunnerBrokenPicture as error:
            raise BrokenPicture(str(error)) from error

    @asynccontextmanager
    async def _removed_on_error(self, job_id: str, folders: JobFolders) -> AsyncIterator[None]:
        try:
            folders.input.mkdir(parents=True)
        except OSError as error:
            raise StorageFailed("The picture could not be stored; try again later.") from error
        try:
            yield
        except BaseException:
            # A request that is cut off at shutdown may have been accepted a moment before.
            if not self.queue.knows(job_id):
                with suppress(OSError):
                    self.storage.remove(job_id)
            raise
