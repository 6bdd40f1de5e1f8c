"""The client for scripts and threads; generated from _async.py, not edited."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from os import PathLike
from pathlib import Path
from typing import Any, Unpack

import httpx
from httpx_sse import EventSource

from .connection import Connection, RetryPolicy, parse, problem_of
from .downloads import PartialDownload, conditional_header, layer_name, same_format
from .errors import ClientError, JobFailed, NotProtected, Problem
from .events import RECONNECT_S, Deadline, JobEventStream
from .models import (
    Batch,
    Delivery,
    DeliveryList,
    Job,
    JobPage,
    Limits,
    Result,
    Status,
    WatermarkReading,
)
from .requests import (
    Body,
    File,
    JobOptions,
    Picture,
    Request,
    T,
    batch_path,
    batch_submission,
    delete,
    get,
    job_path,
    post,
    submission,
)

_POLL_S = 30.0
_PAGE_SIZE = 200


class Gateway:
    """A client of the gateway at `url`, which may be below a path. May be shared by threads.

    Every method raises `Problem` if the gateway refuses the request, and `Unreachable` if no
    response comes. All requests but `retry` and `resend` are repeated on temporary failures.

    Args:
        url: such as http://127.0.0.1:8765.
        api_key: the API key, for gateways that require one.
        timeout_s: seconds that a response may take, beyond the wait that a call requests.
        retry: how often and how long requests are repeated; outlasts a restart by default.
        http: an HTTP client of your own, for proxies or certificates; it is not closed here.

    Raises:
        ValueError: `url` is not an http or https URL.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 60.0,
        retry: RetryPolicy | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self._connection = Connection(url, api_key, timeout_s, retry or RetryPolicy())
        self._owns_http = http is None
        self._http = http or httpx.Client()

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Gateway({httpx.URL(self._connection.url)!r})"

    def close(self) -> None:
        """Close the connections."""
        if self._owns_http:
            self._http.close()

    def protect(
        self,
        picture: Picture,
        target: str | PathLike[str],
        *,
        overwrite: bool = False,
        timeout_s: float | None = None,
        **options: Unpack[JobOptions],
    ) -> Path:
        """Protect a picture and download the result as the file `target`.

        Raises:
            FileExistsError: there is a file and `overwrite` is off.
            ValueError: the suffix of `target` does not match the result's format.
            JobFailed: the job ended in error.
            NotProtected: no stage could be applied.
            WaitTimedOut: the job has not ended after `timeout_s` seconds.
        """
        if Path(target).exists() and not overwrite:
            raise FileExistsError(f"{target} exists; choose another name or allow overwriting")
        job = self.submit(picture, **options)
        job = self.wait(job.job_id, timeout_s=timeout_s)
        if job.status == "error":
            raise JobFailed(409, "job-failed", "The job failed", job.error or "no reason is known")
        layers = (self.result(job.job_id)).layers
        if not any(layer.applied for layer in layers[1:]):
            reasons = "; ".join(f"{layer.stage}: {layer.reason}" for layer in layers[1:])
            raise NotProtected(f"no stage was applied: {reasons or 'none was requested'}")
        if not same_format(Path(target), layers[-1].suffix):
            raise ValueError(
                f"expected a name that ends in {layers[-1].suffix}, the format of the result;"
                f" found {Path(target).name}; job {job.job_id} holds it"
            )
        return self.download_layer(job.job_id, layers[-1].stage, target)

    def submit(
        self,
        picture: Picture,
        *,
        idempotency_key: str | None = None,
        wait_s: float = 0.0,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Submit a picture; return its job, queued or in its state after up to `wait_s` seconds.

        The same `idempotency_key` with the same picture and options returns the same job for a
        day. The default is a new key, so that a repeated request does not make two jobs.
        """
        return self._send(submission(picture, options, idempotency_key, wait_s))

    def submit_batch(
        self,
        pictures: Sequence[Picture],
        *,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> Batch:
        """Submit 1 to 100 pictures with the same options, all uploaded or all named."""
        return self._send(batch_submission(pictures, options, idempotency_key))

    def job(self, job_id: str, *, wait_s: float = 0.0) -> Job:
        """Return the job, at its end or after up to `wait_s` seconds."""
        params = {"wait": wait_s} if wait_s > 0 else {}
        return self._send(get(job_path(job_id), Job, params=params, server_wait_s=wait_s))

    def jobs(self, *, status: Status | None = None) -> Iterator[Job]:
        """Yield the jobs that the API key may see, newest first, optionally of one status."""
        params: dict[str, Any] = {"page_size": _PAGE_SIZE}
        if status is not None:
            params["status"] = status
        while True:
            page = self._send(get("/v1/jobs", JobPage, params=params))
            for job in page.jobs:
                yield job
            if page.next_page_token is None:
                return
            params = {**params, "page_token": page.next_page_token}

    def follow(self, job_id: str, *, timeout_s: float | None = None) -> Iterator[Job]:
        """Yield the job now and after each change until it has ended.

        A broken event stream is resumed after its last event. Where events do not pass, the job is
        polled, at most 30 s apart.

        Raises:
            WaitTimedOut: the job has not ended after `timeout_s` seconds.
            NotFound: there is no such job, or it was deleted.
        """
        stream, deadline = JobEventStream(job_id), Deadline(timeout_s)
        while not stream.is_over:
            deadline.check(f"job {job_id}")
            with suppress(httpx.TransportError, Problem):  # the poll below reports the error
                for job in self._events(stream, deadline):
                    yield job
                    deadline.check(f"job {job_id}")
            if not stream.is_over:
                stream.apply_poll(self.job(job_id, wait_s=deadline.capped(stream.poll_s)))
            if not stream.is_over:
                time.sleep(deadline.capped(RECONNECT_S))
        yield self.job(job_id)

    def wait(
        self,
        job_id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[Job], object] | None = None,
    ) -> Job:
        """Return the job when it has ended, done or in error; call `on_change` on each change.

        Raises:
            WaitTimedOut, NotFound: as `follow`.
        """
        for job in self.follow(job_id, timeout_s=timeout_s):
            if on_change is not None:
                on_change(job)
        return job

    def result(self, job_id: str) -> Result:
        """Return the results of a finished job; raises NotReady or JobFailed for others."""
        return self._send(get(job_path(job_id, "result"), Result))

    def download(
        self, job_id: str, folder: str | PathLike[str], *, stages: Iterable[str] | None = None
    ) -> list[Path]:
        """Download the job's layers, or those of `stages`, into `folder`; return the files.

        They are numbered in order, such as 00-original.jpg. Files that are there already are not
        sent again; every download is verified by its SHA-256.
        """
        names = None if stages is None else set(stages)
        files = []
        for index, layer in enumerate((self.result(job_id)).layers):
            if names is None or layer.stage in names:
                target = Path(folder) / layer_name(index, layer)
                files.append(self.download_layer(job_id, layer.stage, target))
        return files

    def download_layer(
        self, job_id: str, stage: str, target: str | PathLike[str], *, size: int | None = None
    ) -> Path:
        """Download one layer as the file `target`, scaled down to `size` px if given."""
        params = {} if size is None else {"size": size}
        return self._save(job_path(job_id, "layers", stage), Path(target), params)

    def archive(self, job_id: str, target: str | PathLike[str]) -> Path:
        """Download all results of the job as one ZIP file."""
        return self._save(job_path(job_id, "archive.zip"), Path(target))

    def cancel(self, job_id: str) -> Job:
        """End the job as error with the code `cancelled`; no effect on a job that has ended."""
        return self._send(post(job_path(job_id, "cancel"), Job))

    def retry(self, job_id: str) -> Job:
        """Return a new job that repeats a job that has ended."""
        return self._send(post(job_path(job_id, "retry"), Job, repeatable=False))

    def delete(self, job_id: str) -> None:
        """Delete the job with all its files."""
        self._send(delete(job_path(job_id)))

    def deliveries(self, job_id: str) -> list[Delivery]:
        """Return the job's webhooks with every attempt, the oldest first."""
        listed = self._send(get(job_path(job_id, "deliveries"), DeliveryList))
        return listed.deliveries

    def resend(self, job_id: str, delivery_id: str) -> list[Delivery]:
        """Send a webhook again; return all webhooks of the job."""
        path = job_path(job_id, "deliveries", delivery_id, "resend")
        listed = self._send(post(path, DeliveryList, repeatable=False))
        return listed.deliveries

    def batch(self, batch_id: str) -> Batch:
        """Return the batch with its jobs."""
        return self._send(get(batch_path(batch_id), Batch))

    def wait_for_batch(self, batch_id: str, *, timeout_s: float | None = None) -> Batch:
        """Return the batch when all its jobs have ended; raises WaitTimedOut."""
        deadline = Deadline(timeout_s)
        while not (batch := self.batch(batch_id)).is_finished:
            deadline.check(f"batch {batch_id}")
            waiting = next(job for job in batch.jobs if not job.is_finished)
            job = self.job(waiting.job_id, wait_s=deadline.capped(_POLL_S))
            if not job.is_finished:  # the gateway may not hold responses back
                time.sleep(deadline.capped(RECONNECT_S))
        return batch

    def batch_archive(self, batch_id: str, target: str | PathLike[str]) -> Path:
        """Download the results of all jobs of the batch as one ZIP file."""
        return self._save(batch_path(batch_id, "archive.zip"), Path(target))

    def delete_batch(self, batch_id: str) -> None:
        """Delete the batch with all its jobs."""
        self._send(delete(batch_path(batch_id)))

    def limits(self) -> Limits:
        """Return the gateway's limits and stages; needs no API key."""
        return self._send(get("/v1/limits", Limits))

    def read_watermark(self, picture: File) -> WatermarkReading:
        """Return the watermark of a picture file, or of its content."""
        body = Body(files=(("file", picture),))
        return self._send(post("/v1/watermarks/read", WatermarkReading, body=body))

    def _send(self, request: Request[T]) -> T:
        def attempt(attempts: int) -> T:
            return parse(request, self._send_once(request), attempts)

        return self._repeat(request, attempt)

    def _repeat(self, request: Request[T], attempt: Callable[[int], T]) -> T:
        attempts, begun = 0, time.monotonic()
        while True:
            attempts += 1
            try:
                return attempt(attempts)
            except ClientError as failure:
                elapsed_s = time.monotonic() - begun
                pause_s = self._connection.pause_s(request, attempts, elapsed_s, failure)
                if pause_s is None:
                    raise
            time.sleep(pause_s)

    def _send_once(self, request: Request[Any]) -> httpx.Response:
        with ExitStack() as stack:
            try:
                return self._http.request(**self._connection.arguments(request, stack))
            except httpx.HTTPError as error:
                raise self._connection.unreachable(error) from error

    def _events(self, stream: JobEventStream, deadline: Deadline) -> Iterator[Job]:
        connection = self._connection
        with self._http.stream(
            "GET",
            connection.url + job_path(stream.job_id, "events"),
            headers={**stream.headers(), **connection.credentials()},
            timeout=deadline.stream_timeout(connection.timeout_s),
        ) as response:
            if not response.is_success:
                response.read()
                raise problem_of(response)
            if response.status_code == httpx.codes.NO_CONTENT:
                return
            for event in EventSource(response).iter_sse():
                if event.data:  # keep-alive comments arrive as events without data
                    yield stream.apply(event)

    def _save(self, path: str, target: Path, params: dict[str, Any] | None = None) -> Path:
        headers = conditional_header(target)
        request = Request("GET", path, lambda _: target, params=params or {}, headers=headers)
        return self._repeat(request, lambda _: self._save_once(request, target))

    def _save_once(self, request: Request[Path], target: Path) -> Path:
        try:
            with ExitStack() as stack:
                arguments = self._connection.arguments(request, stack)
                with self._http.stream(**arguments) as response:
                    if response.status_code == httpx.codes.NOT_MODIFIED:
                        return target
                    if not response.is_success:
                        response.read()
                        raise problem_of(response)
                    with PartialDownload(target) as file:
                        for chunk in response.iter_bytes():
                            file.write(chunk)
                        file.finish(response)
        except httpx.HTTPError as error:
            raise self._connection.unreachable(error) from error
        return target
