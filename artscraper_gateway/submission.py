"""Take a picture in: stage it, look at its header, and only then accept a job for it."""

from __future__ import annotations

import inspect
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
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
    _threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_THREADS))

    async def accept(
        self,
        receive: Receiver,
        options: JobOptions,
        *,
        targets: Mapping[str, ThreadReceiver] | None = None,
    ) -> Job:
        """Stages the picture that `receive` writes and returns the queued job.

        A plain function is called in the thread that also checks and enqueues: every hop between
        threads is paid for by each submission. `targets` write the caller's own pictures for
        stages, by the names of their fields.

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
                received: ThreadReceiver | None = None
            else:
                received = cast(ThreadReceiver, receive)
            enqueue = partial(
                self._enqueue, job_id, folders.input, request, received, targets or {}
            )
            return await run_sync(enqueue, limiter=self._threads)

    def _enqueue(
        self,
        job_id: str,
        folder: Path,
        request: dict[str, Any],
        receive: ThreadReceiver | None,
        targets: Mapping[str, ThreadReceiver],
    ) -> Job:
        if receive is not None:
            receive(folder / _INCOMING)
        source = self._name_by_content(folder, "image")
        files = {}
        for name, receive_target in targets.items():
            receive_target(folder / _INCOMING)
            files[name] = self._name_by_content(folder, name.replace("_", "-"))
        if files:
            request["target_files"] = files
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
                shutil.rmtree(folders.intake, ignore_errors=True)
            raise
