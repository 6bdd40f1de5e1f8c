"""Batches: many pictures in one request, each a job of its own, under one id."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import sqlalchemy as sa
from anyio import CancelScope, CapacityLimiter
from anyio.to_thread import run_sync

from artscraper_gateway.db.engine import reading
from artscraper_gateway.db.tables import batches, jobs
from artscraper_gateway.errors import (
    ForbiddenAddress,
    GatewayError,
    InvalidRequest,
    NotFound,
    StorageFailed,
)
from artscraper_gateway.jobs.models import FINISHED, Job, NewJob
from artscraper_gateway.jobs.queue import NewBatch, Terms
from artscraper_gateway.jobs.request import JobRequest, resolve_request
from artscraper_gateway.jobs.statements import DELETING
from artscraper_gateway.jobs.submission import Offer, Submission, claim_of
from artscraper_gateway.observability.metrics import REJECTIONS

_DOWNLOADS_AT_ONCE = 8


@dataclass(frozen=True)
class Batch:
    """A batch and its jobs, in the order they were sent; jobs that were deleted are left out.

    `refused` lists the items that became no job: `index`, `code` and `detail`.
    """

    id: str
    owner: str
    submitted_at: float
    refused: list[dict[str, Any]]
    jobs: list[Job]

    @property
    def status(self) -> Literal["queued", "running", "done", "error"]:
        """`done` = all have ended and at least one has a result."""
        counts = Counter(job.status for job in self.jobs)
        if counts["queued"] + counts["running"]:
            return "queued" if counts["queued"] == len(self.jobs) else "running"
        return "done" if counts["done"] else "error"

    @property
    def is_finished(self) -> bool:
        """Whether all its jobs have ended."""
        return all(job.status in FINISHED for job in self.jobs)


@dataclass(frozen=True)
class Batches:
    """Accepts batches, and finds them again."""

    submission: Submission
    _downloads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_DOWNLOADS_AT_ONCE))

    async def accept(self, offers: Sequence[Offer], terms: Terms, *, key: str | None) -> Batch:
        """Stages the pictures and returns their batch, or that of the same key.

        Pictures that are refused are listed with the batch.

        Raises:
            GatewayError: a request is not valid, every picture was refused, or they could not be
                stored; nothing was accepted.
        """
        submission = self.submission
        requests = [self._request(index, offer) for index, offer in enumerate(offers)]
        answer = await submission.find_answer("batch", offers, terms, key)
        if answer is not None:
            return await run_sync(self._again, answer)
        ids = [uuid.uuid4().hex for _ in offers]
        taken: Batch | None = None
        batch_id = uuid.uuid4().hex
        try:
            stage = [
                self._stage(offer, request, job_id, terms)
                for offer, request, job_id in zip(offers, requests, ids, strict=True)
            ]
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each) for each in stage]
            outcomes = [task.result() for task in tasks]
            submit = partial(self._submit, batch_id, offers, outcomes, terms, key)
            taken = await run_sync(submit, limiter=submission.threads)
        except ExceptionGroup as error:
            raise error.exceptions[0] from error
        finally:
            if taken is None or taken.id != batch_id:
                with CancelScope(shield=True):
                    await run_sync(submission.discard_unless_accepted, *ids)
        return taken

    def find(self, batch_id: str) -> Batch | None:
        """Returns the batch; None when there is none, or all its jobs were deleted."""
        mine = (
            sa.select(jobs)
            .where(jobs.c.batch_id == batch_id, jobs.c.status != DELETING)
            .order_by(jobs.c.batch_index)
        )
        with reading(self.submission.listing.engine) as connection:
            query = sa.select(batches).where(batches.c.id == batch_id)
            row = connection.execute(query).one_or_none()
            found = [Job.from_row(each._mapping) for each in connection.execute(mine)]
        if row is None or not found:
            return None
        return Batch(**row._mapping, jobs=found)

    def forget(self, batch_id: str) -> None:
        """Removes the record of a batch whose jobs were deleted."""
        with self.submission.listing.engine.begin() as connection:
            connection.execute(sa.delete(batches).where(batches.c.id == batch_id))

    def _request(self, index: int, offer: Offer) -> JobRequest:
        try:
            return resolve_request(offer.options, self.submission.config)
        except (InvalidRequest, ForbiddenAddress) as error:
            if offer.name is None:  # a form has options for all
                raise
            raise type(error)(f"items.{index}: {error.detail}") from error

    async def _stage(
        self, offer: Offer, request: JobRequest, job_id: str, terms: Terms
    ) -> NewJob | GatewayError:
        try:
            # The folder comes last, so that it is not old by the time that the picture does.
            turn = self._downloads if offer.is_fetched else nullcontext()
            async with turn, self.submission.folder(job_id):
                await self.submission.fetch(offer, job_id)
                stage = partial(self.submission.stage, offer, request, job_id, terms)
                return await run_sync(stage, limiter=self.submission.threads)
        except StorageFailed:
            raise
        except GatewayError as error:
            self.submission.recorder.count(REJECTIONS, error.code)
            return error

    def _submit(
        self,
        batch_id: str,
        offers: Sequence[Offer],
        outcomes: list[NewJob | GatewayError],
        terms: Terms,
        key: str | None,
    ) -> Batch:
        new, refused = [], []
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, GatewayError):
                refused.append({"index": index, "code": outcome.code, "detail": outcome.detail})
                continue
            new.append(NewJob(**{**vars(outcome), "batch_id": batch_id, "batch_index": index}))
        if not new:
            raise next(each for each in outcomes if isinstance(each, GatewayError))
        asked = None if key is None else claim_of("batch", offers, terms, key)
        for each in new:
            self.submission.keep(each)
        batch = NewBatch(batch_id, time.time(), refused)
        added = self.submission.queue.submit_batch(batch, new, terms, asked=asked)
        if isinstance(added, str):
            return self._again(added)
        for each in new:
            self.submission.tell_accepted(each)
        return Batch(**vars(batch), owner=terms.owner, jobs=added)

    def _again(self, batch_id: str) -> Batch:
        found = self.find(batch_id)
        if found is None:
            raise NotFound("The batch of this Idempotency-Key was deleted meanwhile.")
        return found
