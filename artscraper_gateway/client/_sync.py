"""The client for scripts and threads. `AsyncGateway` has the same methods for asyncio."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
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


class Gateway:
    """A gateway at `url`, also one under a path. May be shared by threads.

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
        http: httpx.Client | None = None,
    ) -> None:
        self._connection = Connection(url, api_key, timeout_s, attempts or Attempts())
        self._owns_http = http is None
        self._http = http or httpx.Client()

    def __enter__(self) -> Gateway:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Gateway({httpx.URL(self._connection.url)!r})"

    def close(self) -> None:
        """Closes the connections."""
        if self._owns_http:
            self._http.close()

    def submit(
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
        return self._send(calls.submit(picture, options, idempotency_key, wait_s))

    def submit_batch(
        self,
        pictures: Sequence[Picture],
        *,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> Batch:
        """Submits 1 to 100 pictures with the same options, all files or all named; as `submit`."""
        return self._send(calls.submit_batch(pictures, options, idempotency_key))

    def job(self, job_id: str, *, wait_s: float = 0.0) -> Job:
        """Returns the job: as it is, or when it has ended, after up to `wait_s` seconds."""
        return self._send(calls.job(job_id, wait_s))

    def jobs(self, *, status: Status | None = None) -> Iterator[Job]:
        """Yields all jobs that the API key may see, newest first, or those of one status."""
        token = None
        while True:
            page = self._send(calls.jobs(status, _PAGE, token))
            yield from page.jobs
            token = page.next_page_token
            if token is None:
                return

    def follow(self, job_id: str, *, timeout_s: float | None = None) -> Iterator[Job]:
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
                for job in self._events(story, deadline):
                    yield job
                    deadline.check(f"job {job_id}")
            if not story.is_over:
                story.take_answer(self.job(job_id, wait_s=deadline.capped(story.poll_s)))
            if not story.is_over:
                time.sleep(deadline.capped(RECONNECT_S))
        yield self.job(job_id)

    def wait(
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
        for job in self.follow(job_id, timeout_s=timeout_s):
            if on_change is not None:
                on_change(job)
        return job

    def result(self, job_id: str) -> Result:
        """Returns what a finished job produced. Raises NotReady or JobFailed for others."""
        return self._send(calls.result(job_id))

    def download(
        self, job_id: str, folder: str | PathLike[str], *, stages: Iterable[str] | None = None
    ) -> list[Path]:
        """Downloads the job's layers into `folder`, or only those of `stages`; returns the files.

        They are named in their order, such as 00-original.jpg. What is there already is not sent
        again; what comes is compared with its SHA-256.
        """
        wanted = None if stages is None else set(stages)
        files = []
        for index, layer in enumerate(self.result(job_id).layers):
            if wanted is None or layer.stage in wanted:
                target = Path(folder) / layer_name(index, layer)
                files.append(self.download_layer(job_id, layer.stage, target))
        return files

    def download_layer(
        self, job_id: str, stage: str, target: str | PathLike[str], *, size: int | None = None
    ) -> Path:
        """Downloads one layer as the file `target`; with `size` a copy of at most so many px."""
        params = {} if size is None else {"size": size}
        return self._save(calls.job_path(job_id, "layers", stage), Path(target), params)

    def archive(self, job_id: str, target: str | PathLike[str]) -> Path:
        """Downloads everything that the job produced as one ZIP file."""
        return self._save(calls.job_path(job_id, "archive.zip"), Path(target))

    def cancel(self, job_id: str) -> Job:
        """Ends the job as error, with the code `cancelled`; one that has ended stays as it is."""
        return self._send(calls.cancel(job_id))

    def retry(self, job_id: str) -> Job:
        """Returns a new job that does again what a job that has ended did."""
        return self._send(calls.retry(job_id))

    def delete(self, job_id: str) -> None:
        """Deletes the job with all its files."""
        self._send(calls.delete(job_id))

    def deliveries(self, job_id: str) -> list[Delivery]:
        """Returns the job's webhooks with every try, the oldest first."""
        return self._send(calls.deliveries(job_id))

    def resend(self, job_id: str, delivery_id: str) -> list[Delivery]:
        """Sends a webhook again; returns all of the job."""
        return self._send(calls.resend(job_id, delivery_id))

    def batch(self, batch_id: str) -> Batch:
        """Returns the batch with its jobs."""
        return self._send(calls.batch(batch_id))

    def wait_for_batch(self, batch_id: str, *, timeout_s: float | None = None) -> Batch:
        """Returns the batch when all its jobs have ended. Raises WaitTimedOut."""
        deadline = Deadline(timeout_s)
        while not (batch := self.batch(batch_id)).is_finished:
            deadline.check(f"batch {batch_id}")
            waiting = next(job for job in batch.jobs if not job.is_finished)
            if not self.job(waiting.job_id, wait_s=deadline.capped(_POLL_S)).is_finished:
                time.sleep(deadline.capped(RECONNECT_S))  # the gateway may hold no answers back
        return batch

    def batch_archive(self, batch_id: str, target: str | PathLike[str]) -> Path:
        """Downloads what the batch's jobs produced as one ZIP file."""
        return self._save(calls.batch_path(batch_id, "archive.zip"), Path(target))

    def delete_batch(self, batch_id: str) -> None:
        """Deletes the batch with all its jobs."""
        self._send(calls.delete_batch(batch_id))

    def limits(self) -> Limits:
        """Returns what the gateway takes and offers; needs no API key."""
        return self._send(calls.limits())

    def read_watermark(self, picture: File) -> WatermarkReading:
        """Returns what the watermark of a file, or of its content, says."""
        return self._send(calls.read_watermark(picture))

    def _send(self, call: Call[T]) -> T:
        return self._repeated(call, lambda tried: read(call, self._once(call), tried))

    def _repeated(self, call: Call[T], once: Callable[[int], T]) -> T:
        tried = 0
        while True:
            tried += 1
            try:
                return once(tried)
            except ClientError as failure:
                pause_s = self._connection.pause_s(call, tried, failure)
                if pause_s is None:
                    raise
            time.sleep(pause_s)

    def _once(self, call: Call[Any]) -> httpx.Response:
        with ExitStack() as stack:
            try:
                return self._http.request(**self._connection.arguments(call, stack))
            except httpx.HTTPError as error:
                raise self._connection.unreachable(error) from error

    def _events(self, story: Story, deadline: Deadline) -> Iterator[Job]:
        connection = self._connection
        with self._http.stream(
            "GET",
            connection.url + calls.job_path(story.job_id, "events"),
            headers={**story.headers(), **connection.credentials()},
            timeout=deadline.stream_timeout(connection.timeout_s),
        ) as response:
            if not response.is_success:
                response.read()
                raise problem_of(response)
            if response.status_code == httpx.codes.NO_CONTENT:
                return
            for event in EventSource(response).iter_sse():
                if event.data:  # a keep-alive comment comes as an event of nothing
                    yield story.take(event)

    def _save(self, path: str, target: Path, params: dict[str, Any] | None = None) -> Path:
        call: Call[Path] = Call("GET", path, lambda _: target, params=params or {})
        return self._repeated(call, lambda _: self._save_once(call, target))

    def _save_once(self, call: Call[Path], target: Path) -> Path:
        with self._streamed(call, known_tag(target)) as response:
            if response.status_code == httpx.codes.NOT_MODIFIED:
                return target
            if not response.is_success:
                response.read()
                raise problem_of(response)
            with Incoming(target) as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
                file.finish(response)
        return target

    @contextmanager
    def _streamed(self, call: Call[Any], more_headers: dict[str, str]) -> Iterator[httpx.Response]:
        with ExitStack() as stack:
            arguments = self._connection.arguments(call, stack)
            arguments["headers"] |= more_headers
            try:
                with self._http.stream(**arguments) as response:
                    yield response
            except httpx.HTTPError as error:
                raise self._connection.unreachable(error) from error
