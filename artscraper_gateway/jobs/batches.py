"""Batches: many pictures in one request, each a job of its own, under one id."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import sqlalchemy as sa
from anyio import CancelScope, CapacityLimiter
from anyio.to_thread import run_sync

from artscraper_gateway.db.engine import reading
from artscraper_gateway.db.tables import batches, jobs
from artscraper_gateway.errors import (
    DiskFull,
    ForbiddenAddress,
    GatewayError,
    InvalidRequest,
    NotFound,
    StorageFailed,
)
from artscraper_gateway.jobs.models import DELETING, FINISHED, Job, NewJob
from artscraper_gateway.jobs.queue import NewBatch, QueueQuota
from artscraper_gateway.jobs.request import JobRequest
from artscraper_gateway.jobs.submission import IncomingPicture, Submission, idempotency_claim

_CONCURRENT_DOWNLOADS = 8


@dataclass(frozen=True)
class Batch:
    """A batch and its jobs in the order they were sent, without those that were deleted.

    `refused` lists the items that were refused: `index`, `code` and `detail`.
    """

    id: str
    owner: str
    submitted_at: float
    refused: list[dict[str, Any]]
    jobs: list[Job]

    @property
    def status(self) -> Literal["queued", "running", "done", "error"]:
        """`done` if all have ended and at least one has a result."""
        counts = Counter(job.status for job in self.jobs)
        if counts["queued"] + counts["running"]:
            return "queued" if counts["queued"] == len(self.jobs) else "running"
        return "done" if counts["done"] else "error"

    @property
    def is_finished(self) -> bool:
        """Return whether all its jobs have ended."""
        return all(job.status in FINISHED for job in self.jobs)


@dataclass(frozen=True)
class Batches:
    """Accepts batches, and finds them again."""

    submission: Submission
    _downloads: CapacityLimiter = field(
        default_factory=lambda: CapacityLimiter(_CONCURRENT_DOWNLOADS)
    )

    async def accept(
        self, pictures: Sequence[IncomingPicture], quota: QueueQuota, *, key: str | None
    ) -> Batch:
        """Return the pictures' new batch, or the one that the idempotency key led to.

        Pictures that are refused are listed in the batch.

        Raises:
            GatewayError: a request is not valid, every picture was refused, or they could not be
                stored; nothing was accepted.
        """
        submission = self.submission
        requests = [self._resolve(index, each, quota) for index, each in enumerate(pictures)]
        earlier = await submission.find_earlier("batch", pictures, quota, key)
        if earlier is not None:
            return await run_sync(self._respond, earlier)
        ids = [uuid.uuid4().hex for _ in pictures]
        accepted: Batch | None = None
        batch_id = uuid.uuid4().hex
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._stage(picture, request, job_id, quota))
                    for picture, request, job_id in zip(pictures, requests, ids, strict=True)
                ]
            staged = [task.result() for task in tasks]
            enqueue = partial(self._enqueue, batch_id, pictures, staged, quota, key)
            accepted = await run_sync(enqueue, limiter=submission.threads)
        except ExceptionGroup as error:
            raise error.exceptions[0] from error
        finally:
            if accepted is None or accepted.id != batch_id:
                with CancelScope(shield=True):
                    await run_sync(submission.discard_unless_accepted, *ids)
        return accepted

    def find(self, batch_id: str) -> Batch | None:
        """Return the batch; None if it is unknown or all its jobs were deleted."""
        mine = (
            sa.select(jobs)
            .where(jobs.c.batch_id == batch_id, jobs.c.status != DELETING)
            .order_by(jobs.c.batch_index)
        )
        with reading(self.submission.listing.engine) as connection:
            query = sa.select(batches).where(batches.c.id == batch_id)
            row = connection.execute(query).one_or_none()
            members = [Job.from_row(each._mapping) for each in connection.execute(mine)]
        if row is None or not members:
            return None
        return Batch(**row._mapping, jobs=members)

    def forget(self, batch_id: str) -> None:
        """Remove the record of a batch whose jobs were deleted."""
        with self.submission.listing.engine.begin() as connection:
            connection.execute(sa.delete(batches).where(batches.c.id == batch_id))

    def _resolve(self, index: int, picture: IncomingPicture, quota: QueueQuota) -> JobRequest:
        try:
            return self.submission.resolve(picture, quota)
        except (InvalidRequest, ForbiddenAddress) as error:
            if picture.name is None:  # a form has one set of options for all
                raise
            raise type(error)(f"items.{index}: {error.detail}") from error

    async def _stage(
        self, picture: IncomingPicture, request: JobRequest, job_id: str, quota: QueueQuota
    ) -> NewJob | GatewayError:
        submission = self.submission
        try:
            turn = self._downloads if picture.is_downloaded else nullcontext()
            # The folder comes last: old folders without a job are removed.
            async with turn, submission.staging_folder(job_id):
                await submission.download(picture, job_id)
                stage = partial(submission.stage, picture, request, job_id, quota)
                return await run_sync(stage, limiter=submission.threads)
        except (StorageFailed, DiskFull):
            raise
        except GatewayError as error:
            submission.metrics.rejections.labels(error.code).inc()
            return error

    def _enqueue(
        self,
        batch_id: str,
        pictures: Sequence[IncomingPicture],
        staged: list[NewJob | GatewayError],
        quota: QueueQuota,
        key: str | None,
    ) -> Batch:
        new, refused = [], []
        for index, each in enumerate(staged):
            if isinstance(each, GatewayError):
                refused.append({"index": index, "code": each.code, "detail": each.detail})
            else:
                new.append(replace(each, batch_id=batch_id, batch_index=index))
        if not new:
            raise next(each for each in staged if isinstance(each, GatewayError))
        idempotency = None if key is None else idempotency_claim("batch", pictures, quota, key)
        batch = NewBatch(batch_id, time.time(), refused)
        added = self.submission.queue.submit_batch(batch, new, quota, idempotency=idempotency)
        if isinstance(added, str):
            return self._respond(added)
        for job in new:
            self.submission.on_accepted(job)
        return Batch(**vars(batch), owner=quota.owner, jobs=added)

    def _respond(self, batch_id: str) -> Batch:
        batch = self.find(batch_id)
        if batch is None:
            raise NotFound("The batch of this Idempotency-Key was deleted meanwhile.")
        return batch
