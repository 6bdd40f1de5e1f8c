"""The client for asyncio: the methods of `Gateway`, as coroutines and asynchronous iterators."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Unpack

import httpx
from httpx_sse import EventSource

from artscraper_gateway.client import requests as calls
from artscraper_gateway.client.bodies import File, JobOptions, Picture
from artscraper_gateway.client.connection import Connection, read
from artscraper_gateway.client.downloads import Incoming, known_tag, layer_name
from artscraper_gateway.client.errors import ClientError, Problem
from artscraper_gateway.client.events import RECONNECT_S, Deadline, Story
from artscraper_gateway.client.models import (
    Batch,
    Delivery,
    Job,
    Limits,
    Result,
    Status,
    WatermarkReading,
)
from artscraper_gateway.client.requests import Call, T
from artscraper_gateway.client.retry import Attempts, problem_of

_POLL_S = 30.0
_PAGE = 200


class AsyncGateway:
    """A gateway at `url`, also one under a path. For one event loop.

    `timeout_s` is how long one answer may take beyond what was asked to wait. `http` is a client of
    your own, for proxies or certificates; it is not closed here.

    Every method raises `Problem` for what the gateway refuses, and `Unreachable` when no answer
    comes. Calls that may be repeated are, as `attempts` has it: all but `retry` and `resend`.

    Raises:
        ValueError: `url` is no http or https URL.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 60.0,
        attempts: Attempts | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._connection = Connection(url, api_key, timeout_s, attempts or Attempts())
        self._owns_http = http is None
        self._http = http or httpx.AsyncClient()

    async def __aenter__(self) -> AsyncGateway:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncGateway({httpx.URL(self._connection.url)!r})"

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._owns_http:
            await self._http.aclose()

    async def submit(
        self,
        picture: Picture,
        *,
        idempotency_key: str | None = None,
        wait_s: float = 0.0,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Submits a picture and returns its job: queued, or as it is after up to `wait_s` seconds.

        The same `idempotency_key` with the same picture and options is the same job for a day;
        None = a new one, which keeps a submission whose answer is lost from being two.
        """
        return await self._send(calls.submit(picture, options, idempotency_key, wait_s))

    async def submit_batch(
        self,
        pictures: Sequence[Picture],
        *,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> Batch:
        """Submits 1 to 100 pictures with the same options, all files or all named; as `submit`."""
        return await self._send(calls.submit_batch(pictures, options, idempotency_key))

    async def job(self, job_id: str, *, wait_s: float = 0.0) -> Job:
        """Returns the job: as it is, or when it has ended, after up to `wait_s` seconds."""
        return await self._send(calls.job(job_id, wait_s))

    async def jobs(self, *, status: Status | None = None) -> AsyncIterator[Job]:
        """Yields all jobs that the API key may see, newest first, or those of one status."""
        token = None
        while True:
            page = await self._send(calls.jobs(status, _PAGE, token))
            for job in page.jobs:
                yield job
            token = page.next_page_token
            if token is None:
                return

    async def follow(self, job_id: str, *, timeout_s: float | None = None) -> AsyncIterator[Job]:
        """Yields the job as it stands, then after each change, until it has ended.

        A connection that breaks is made again, behind the last event that came. Where no events
        come through, the job is asked for now and then, at most 30 s apart.

        Raises:
            WaitTimedOut: it has not ended after `timeout_s` seconds; None = wait for ever.
            NotFound: there is no such job, or it was deleted meanwhile.
        """
        story, deadline = Story(job_id), Deadline(timeout_s)
        while not story.is_over:
            deadline.check(f"job {job_id}")
            with suppress(httpx.TransportError, Problem):  # the next question tells what is wrong
                async for job in self._events(story, deadline):
                    yield job
                    deadline.check(f"job {job_id}")
            if not story.is_over:
                story.take_answer(await self.job(job_id, wait_s=deadline.capped(story.poll_s)))
            if not story.is_over:
                await asyncio.sleep(deadline.capped(RECONNECT_S))
        yield await self.job(job_id)

    async def wait(
        self,
        job_id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[Job], object] | None = None,
    ) -> Job:
        """Returns the job when it has ended, done or in error; `on_change` is told of each change.

        Raises:
            WaitTimedOut, NotFound: as `follow`.
        """
        async for job in self.follow(job_id, timeout_s=timeout_s):
            if on_change is not None:
                on_change(job)
        return job

    async def result(self, job_id: str) -> Result:
        """Returns what a finished job produced. Raises NotReady or JobFailed for others."""
        return await self._send(calls.result(job_id))

    async def download(
        self, job_id: str, folder: str | PathLike[str], *, stages: Iterable[str] | None = None
    ) -> list[Path]:
        """Downloads the job's layers into `folder`, or only those of `stages`; returns the files.

        They are named in their order, such as 00-original.jpg. What is there already is not sent
        again; what comes is compared with its SHA-256.
        """
        wanted = None if stages is None else set(stages)
        files = []
        for index, layer in enumerate((await self.result(job_id)).layers):
            if wanted is None or layer.stage in wanted:
                target = Path(folder) / layer_name(index, layer)
                files.append(await self.download_layer(job_id, layer.stage, target))
        return files

    async def download_layer(
        self, job_id: str, stage: str, target: str | PathLike[str], *, size: int | None = None
    ) -> Path:
        """Downloads one layer as the file `target`; with `size` a copy of at most so many px."""
        params = {} if size is None else {"size": size}
        return await self._save(calls.job_path(job_id, "layers", stage), Path(target), params)

    async def archive(self, job_id: str, target: str | PathLike[str]) -> Path:
        """Downloads everything that the job produced as one ZIP file."""
        return await self._save(calls.job_path(job_id, "archive.zip"), Path(target))

    async def cancel(self, job_id: str) -> Job:
        """Ends the job as error, with the code `cancelled`; one that has ended stays as it is."""
        return await self._send(calls.cancel(job_id))

    async def retry(self, job_id: str) -> Job:
        """Returns a new job that does again what a job that has ended did."""
        return await self._send(calls.retry(job_id))

    async def delete(self, job_id: str) -> None:
        """Deletes the job with all its files."""
        await self._send(calls.delete(job_id))

    async def deliveries(self, job_id: str) -> list[Delivery]:
        """Returns the job's webhooks with every try, the oldest first."""
        return await self._send(calls.deliveries(job_id))

    async def resend(self, job_id: str, delivery_id: str) -> list[Delivery]:
        """Sends a webhook again; returns all of the job."""
        return await self._send(calls.resend(job_id, delivery_id))

    async def batch(self, batch_id: str) -> Batch:
        """Returns the batch with its jobs."""
        return await self._send(calls.batch(batch_id))

    async def wait_for_batch(self, batch_id: str, *, timeout_s: float | None = None) -> Batch:
        """Returns the batch when all its jobs have ended. Raises WaitTimedOut."""
        deadline = Deadline(timeout_s)
        while not (batch := await self.batch(batch_id)).is_finished:
            deadline.check(f"batch {batch_id}")
            waiting = next(job for job in batch.jobs if not job.is_finished)
            job = await self.job(waiting.job_id, wait_s=deadline.capped(_POLL_S))
            if not job.is_finished:
                await asyncio.sleep(deadline.capped(RECONNECT_S))  # as `Gateway` does
        return batch

    async def batch_archive(self, batch_id: str, target: str | PathLike[str]) -> Path:
        """Downloads what the batch's jobs produced as one ZIP file."""
        return await self._save(calls.batch_path(batch_id, "archive.zip"), Path(target))

    async def delete_batch(self, batch_id: str) -> None:
        """Deletes the batch with all its jobs."""
        await self._send(calls.delete_batch(batch_id))

    async def limits(self) -> Limits:
        """Returns what the gateway takes and offers; needs no API key."""
        return await self._send(calls.limits())

    async def read_watermark(self, picture: File) -> WatermarkReading:
        """Returns what the watermark of a file, or of its content, says."""
        return await self._send(calls.read_watermark(picture))

    async def _send(self, call: Call[T]) -> T:
        async def once(tried: int) -> T:
            return read(call, await self._once(call), tried)

        return await self._repeated(call, once)

    async def _repeated(self, call: Call[T], once: Callable[[int], Awaitable[T]]) -> T:
        tried = 0
        while True:
            tried += 1
            try:
                return await once(tried)
            except ClientError as failure:
                pause_s = self._connection.pause_s(call, tried, failure)
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)

    async def _once(self, call: Call[Any]) -> httpx.Response:
        with ExitStack() as stack:
            try:
                return await self._http.request(**self._connection.arguments(call, stack))
            except httpx.HTTPError as error:
                raise self._connection.unreachable(error) from error

    async def _events(self, story: Story, deadline: Deadline) -> AsyncIterator[Job]:
        connection = self._connection
        async with self._http.stream(
            "GET",
            connection.url + calls.job_path(story.job_id, "events"),
            headers={**story.headers(), **connection.credentials()},
            timeout=deadline.stream_timeout(connection.timeout_s),
        ) as response:
            if not response.is_success:
                await response.aread()
                raise problem_of(response)
            if response.status_code == httpx.codes.NO_CONTENT:
                return
            async for event in EventSource(response).aiter_sse():
                if event.data:  # a keep-alive comment comes as an event of nothing
                    yield story.take(event)

    async def _save(self, path: str, target: Path, params: dict[str, Any] | None = None) -> Path:
        call: Call[Path] = Call("GET", path, lambda _: target, params=params or {})
        return await self._repeated(call, lambda _: self._save_once(call, target))

    async def _save_once(self, call: Call[Path], target: Path) -> Path:
        async with self._streamed(call, known_tag(target)) as response:
            if response.status_code == httpx.codes.NOT_MODIFIED:
                return target
            if not response.is_success:
                await response.aread()
                raise problem_of(response)
            with Incoming(target) as file:
                async for chunk in response.aiter_bytes():
                    await asyncio.to_thread(file.write, chunk)
                await asyncio.to_thread(file.finish, response)
        return target

    @asynccontextmanager
    async def _streamed(
        self, call: Call[Any], more_headers: dict[str, str]
    ) -> AsyncIterator[httpx.Response]:
        with ExitStack() as stack:
            arguments = self._connection.arguments(call, stack)
            arguments["headers"] |= more_headers
            try:
                async with self._http.stream(**arguments) as response:
                    yield response
            except httpx.HTTPError as error:
                raise self._connection.unreachable(error) from error
