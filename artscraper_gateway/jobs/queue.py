"""The durable queue as the web process sees it: put a job in, take one out.

`heavy` jobs decode the picture and run one at a time in a process, so that a crash is blamed on
the job that caused it. With `gpu_queue` set, jobs with a stage that looks through a network have
a queue of their own, for workers on machines that have a CUDA device; a worker takes one heavy job
at a time of each. `light` jobs only file the picture away. They are no workflows: their rows are
the queue, and workers take them from there by the dozen (`light_jobs.py`), for a workflow costs
more than the job.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from dbos import DBOSClient
from dbos import DBOSPortableJSONSerializer as JSONSerializer

from artscraper_gateway.db.tables import batches, jobs
from artscraper_gateway.errors import InvalidRequest, QueueFull, StorageFailed
from artscraper_gateway.jobs.idempotency import IdempotencyClaim, claim
from artscraper_gateway.jobs.listing import ShownJob
from artscraper_gateway.jobs.models import Job, NewJob
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.jobs.request import JobRequest
from artscraper_runner import needs_network

APPLICATION = "artscraper-gateway"
# Pinned: a changed version would leave the jobs of the old one waiting for an old worker. Raise it
# only when the order of a workflow's steps changes.
WORKFLOW_VERSION = "1"
WORKFLOW = "run_job"
LIGHT, HEAVY, GPU = "light", "heavy", "gpu"
QUEUES = {"cpu": HEAVY, "gpu": GPU}  # of workflows, by what workers are told to take
_ROOM_LOCK = 7_304_120 << 32  # any number, with 2**32 behind it, that nobody else locks here
_NEARLY = 1000  # more jobs than are being added at one moment
_NORMAL_PRIORITY = 101  # of the queue, where lower runs first; unset would be 0, ahead of all

_in_queue = sa.func.count()
_COUNT_QUEUED = sa.select(
    _in_queue.label("all"),
    _in_queue.filter(jobs.c.owner == sa.bindparam("of_owner")).label("own"),
    _in_queue.filter(
        jobs.c.queue == sa.bindparam("in_queue"), jobs.c.priority >= sa.bindparam("at_least")
    ).label("ahead"),
).where(jobs.c.status == "queued")


def queue_for(request: JobRequest, *, gpu_queue: bool) -> str:
    """Returns the queue of a job; `gpu_queue` says whether there is one for encoders' jobs."""
    if gpu_queue and needs_network(request.stages):
        return GPU
    return HEAVY if request.needs_pipeline else LIGHT


@dataclass(frozen=True)
class Terms:
    """On what terms jobs are taken: whose they are, and how many may wait (None = any number)."""

    owner: str = ""
    max_queued: int | None = None
    owner_max_queued: int | None = None

    def check_size(self, count: int) -> None:
        """Refuses a batch of so many jobs if it would find no room in an empty queue.

        Raises:
            InvalidRequest: it would find none.
        """
        limits = [each for each in (self.max_queued, self.owner_max_queued) if each is not None]
        if limits and count > min(limits):
            raise InvalidRequest(
                f"expected a batch of at most {min(limits)} jobs, for no more may wait at a time;"
                f" found {count}; split it into smaller batches"
            )


@dataclass(frozen=True)
class NewBatch:
    """A batch about to be added, and the items of it that became no job."""

    id: str
    submitted_at: float
    refused: list[dict[str, Any]]


def _lock_what_is_nearly_full(
    connection: sa.Connection, queued: sa.RowMapping, terms: Terms
) -> bool:
    """On PostgreSQL others add jobs meanwhile: near a limit, only one at a time, to its commit."""
    if connection.dialect.name != "postgresql":
        return False
    locked = False
    for name, count, limit in (
        ("", queued["all"], terms.max_queued),
        (f"of {terms.owner}", queued["own"], terms.owner_max_queued),
    ):
        if limit is not None and count > limit - _NEARLY:
            number = sa.literal(_ROOM_LOCK + zlib.crc32(name.encode()), sa.BigInteger)
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))
            locked = True
    return locked


class JobQueue:
    """Enqueues and cancels the workflow of a job; the workflow's id is the job's id."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._client = DBOSClient(
            system_database_engine=store.engine,
            application_name=APPLICATION,
            serializer=JSONSerializer(),
        )

    def submit(
        self, new: NewJob, terms: Terms, *, asked: IdempotencyClaim | None = None
    ) -> ShownJob | str:
        """Adds the job's row and its workflow in one transaction: both exist, or neither.

        Returns the queued job, or the id of the one that the idempotency key led to before.

        Raises:
            QueueFull: so many jobs wait that there is no room for what came.
            IdempotencyKeyReused: the key came with another payload before.
            StorageFailed: the database would not take it.
        """
        with self._transaction() as connection:
            before = claim(connection, asked, new.id) if asked else None
            if before is not None:
                return before
            job = self._store.add(connection, new)
            position = self._check_room(connection, [new], terms)
            self._enqueue(connection, new)
        return ShownJob(job, position)

    def submit_batch(
        self,
        batch: NewBatch,
        new: Sequence[NewJob],
        terms: Terms,
        *,
        asked: IdempotencyClaim | None = None,
    ) -> list[Job] | str:
        """Adds a batch with all its jobs, or nothing; raises as `submit`.

        Returns the jobs, or the id of the batch that the idempotency key led to before.

        Raises:
            InvalidRequest: it has more jobs than may wait, so that there is never room.
        """
        with self._transaction() as connection:
            before = claim(connection, asked, batch.id) if asked else None
            if before is not None:
                return before
            terms.check_size(len(new))
            connection.execute(sa.insert(batches), {**vars(batch), "owner": terms.owner})
            added = [self._store.add(connection, each) for each in new]
            for each in new:
                self._enqueue(connection, each)
            if new:
                self._check_room(connection, new, terms)
        return added

    def known(self, job_ids: Collection[str]) -> set[str]:
        """Returns those that were accepted."""
        return self._store.which_exist(job_ids)

    def cancel(self, job_id: str) -> None:
        """Stops the job from being run, or run on; harmless when it has ended."""
        self._client.cancel_workflow(job_id)

    def forget(self, job_id: str) -> None:
        """Removes the queue's own record of the job."""
        self._client.delete_workflow(job_id)

    def forget_ended(self, *, before: float, at_most: int) -> int:
        """Removes records of workflows that ended before that moment; returns how many."""
        moment = datetime.fromtimestamp(before, UTC).isoformat()
        ended = self._client.list_workflows(
            status=["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"],
            completed_before=moment,
            limit=at_most,
            load_input=False,
            load_output=False,
        )
        self._client.delete_workflows([workflow.workflow_id for workflow in ended])
        return len(ended)

    def broken(self) -> list[str]:
        """Returns the jobs whose workflow has ended without ending its job, or just so."""
        ended = self._client.list_workflows(
            status=["ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"],
            name=WORKFLOW,
            load_input=False,
            load_output=False,
        )
        return [workflow.workflow_id for workflow in ended]

    def close(self) -> None:
        """Ends the client's threads; the engine stays open."""
        self._client.destroy()

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._store.engine.begin() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            raise StorageFailed("The job could not be recorded; try again later.") from error

    def _check_room(self, connection: sa.Connection, new: Sequence[NewJob], terms: Terms) -> int:
        """Returns which the last of `new`, which have just been added, is in its queue, from 1."""
        last = new[-1]
        values = {"of_owner": terms.owner, "in_queue": last.queue, "at_least": last.priority}
        queued = connection.execute(_COUNT_QUEUED, values).mappings().one()
        if _lock_what_is_nearly_full(connection, queued, terms):
            queued = connection.execute(_COUNT_QUEUED, values).mappings().one()
        for jobs_of, count, limit in (
            ("jobs", queued["all"], terms.max_queued),
            ("jobs of this API key", queued["own"], terms.owner_max_queued),
        ):
            if limit is not None and count > limit:
                raise QueueFull(
                    f"{count - len(new)} {jobs_of} wait, {limit} may, and {len(new)} came;"
                    " try again later."
                )
        return int(queued["ahead"])

    def _enqueue(self, connection: sa.Connection, new: NewJob) -> None:
        if new.queue == LIGHT:
            return
        self._client.enqueue_in_transaction(
            connection,
            {
                "workflow_name": WORKFLOW,
                "queue_name": new.queue,
                "workflow_id": new.id,
                "app_version": WORKFLOW_VERSION,
                "priority": _NORMAL_PRIORITY - new.priority,
            },
            new.id,
        )
