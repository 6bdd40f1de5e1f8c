"""The durable queue: enqueue, cancel and requeue the workflow of a job. DBOS runs every job.

Workflow ids are job ids. Jobs that decode a picture run one at a time in a worker process, so that
a crash is blamed on the job that caused it. With `gpu_queue`, jobs with a stage that differentiates
through a network have a queue of their own, for workers on machines with a CUDA device. Jobs that
only store their picture run several at a time.

DBOS is imported, and its tables are created, by the first process that uses the queue: a web
process is ready before, and takes less memory until its first job.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from artscraper_gateway.db.engine import migrate_queue
from artscraper_gateway.db.tables import batches, jobs
from artscraper_gateway.errors import InvalidRequest, QueueFull, StorageFailed
from artscraper_gateway.jobs.idempotency import IdempotencyClaim, claim
from artscraper_gateway.jobs.leases import Leases
from artscraper_gateway.jobs.listing import JobView
from artscraper_gateway.jobs.models import Job, NewJob
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.jobs.request import JobRequest
from artscraper_runner import needs_network

if TYPE_CHECKING:
    from dbos import DBOSClient

APPLICATION = "artscraper-gateway"
# Pinned: another version would leave the jobs of the old one waiting for an old worker. Raise it
# only when the order of a workflow's steps changes.
WORKFLOW_VERSION = "1"
WORKFLOW = "run_job"
CPU, GPU, PASSTHROUGH = "heavy", "gpu", "passthrough"  # "heavy": the name in older databases
CONCURRENCY = {CPU: 1, GPU: 1, PASSTHROUGH: 16}  # of one worker
QUEUES = {"cpu": (CPU, PASSTHROUGH), "gpu": (GPU,)}  # by the values of the setting `queues`
_QUOTA_LOCK = 7_304_120 << 32  # start of 2**32 numbers that are not locked elsewhere
_NEARLY_FULL = 1000  # more jobs than are being added at one moment
_NORMAL_PRIORITY = 101  # in the queue, where lower runs first; unset would be 0, ahead of all

_count = sa.func.count()
_COUNT_QUEUED = sa.select(
    _count.label("all"),
    _count.filter(jobs.c.owner == sa.bindparam("of_owner")).label("own"),
    _count.filter(
        jobs.c.queue == sa.bindparam("in_queue"), jobs.c.priority >= sa.bindparam("at_least")
    ).label("ahead"),
).where(jobs.c.status == "queued")


def queue_for(request: JobRequest, *, gpu_queue: bool) -> str:
    """Return the queue of a job; stages with a network use the GPU queue if `gpu_queue` is set."""
    if not request.needs_pipeline:
        return PASSTHROUGH
    return GPU if gpu_queue and needs_network(request.stages) else CPU


@dataclass(frozen=True)
class QueueQuota:
    """The owner of added jobs, how many may wait and their most urgent priority. None: no limit."""

    owner: str = ""
    max_queued: int | None = None
    owner_max_queued: int | None = None
    max_priority: int | None = None

    def check_priority(self, priority: int) -> None:
        """Raise InvalidRequest for a priority above the key's bound."""
        if self.max_priority is not None and priority > self.max_priority:
            raise InvalidRequest(
                f"priority: expected at most {self.max_priority} with this API key,"
                f" found {priority}"
            )

    def check_size(self, count: int) -> None:
        """Raise InvalidRequest for a batch that would not fit in an empty queue."""
        limits = [each for each in (self.max_queued, self.owner_max_queued) if each is not None]
        if limits and count > min(limits):
            raise InvalidRequest(
                f"expected a batch of at most {min(limits)} jobs, since no more may wait at a"
                f" time; found {count}; split it into smaller batches"
            )


@dataclass(frozen=True)
class NewBatch:
    """A batch about to be added, and its items that were refused."""

    id: str
    submitted_at: float
    refused: list[dict[str, Any]]


class JobQueue:
    """Adds jobs to the queue and takes them out."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._opening = threading.Lock()
        self._opened: DBOSClient | None = None

    @property
    def _client(self) -> DBOSClient:
        with self._opening:
            if self._opened is None:
                self._opened = _open_client(self._store.engine)
            return self._opened

    def submit(
        self, new: NewJob, quota: QueueQuota, *, idempotency: IdempotencyClaim | None = None
    ) -> JobView | str:
        """Add the job's row and its workflow in one transaction.

        Returns:
            The queued job, or the id of the job that the idempotency key led to before.

        Raises:
            QueueFull: too many jobs wait.
            IdempotencyKeyReused: the key was used with another payload.
            StorageFailed: the database would not take it.
        """
        with self._transaction() as connection:
            earlier = claim(connection, idempotency, new.id) if idempotency else None
            if earlier is not None:
                return earlier
            job = self._store.add(connection, new)
            position = self._check_quota(connection, [new], quota)
            self._enqueue(connection, new)
        return JobView(job, position)

    def submit_batch(
        self,
        batch: NewBatch,
        new: Sequence[NewJob],
        quota: QueueQuota,
        *,
        idempotency: IdempotencyClaim | None = None,
    ) -> list[Job] | str:
        """Add a batch with all its jobs, or nothing; raises as `submit`.

        Returns:
            The jobs, or the id of the batch that the idempotency key led to before.

        Raises:
            InvalidRequest: it has more jobs than may ever wait.
        """
        with self._transaction() as connection:
            earlier = claim(connection, idempotency, batch.id) if idempotency else None
            if earlier is not None:
                return earlier
            quota.check_size(len(new))
            connection.execute(sa.insert(batches), {**vars(batch), "owner": quota.owner})
            added = [self._store.add(connection, each) for each in new]
            for each in new:
                self._enqueue(connection, each)
            if new:
                self._check_quota(connection, new, quota)
        return added

    def enqueue_missing(self) -> int:
        """Enqueue open jobs without a workflow; return how many.

        Earlier releases ran jobs that only store their picture without one.
        """
        waiting = [job for job in self._store.unleased_jobs() if job.queue == PASSTHROUGH]
        missing = {job.id: job for job in waiting}
        for workflow in self._client.list_workflows(
            workflow_ids=list(missing), load_input=False, load_output=False
        ):
            missing.pop(workflow.workflow_id, None)
        with self._transaction() as connection:
            for job in missing.values():
                self._enqueue(connection, job)
        return len(missing)

    def existing_ids(self, job_ids: Collection[str]) -> set[str]:
        """Return the ids of jobs that were added."""
        return self._store.existing_ids(job_ids)

    def cancel_job(self, job_id: str) -> bool:
        """End the job as cancelled; False if it had ended. A running one notices and stops."""
        if not self._store.cancel(job_id):
            return False
        if Leases(self._store.engine).owner(job_id) is None:
            self.cancel(job_id)
        return True

    def cancel(self, job_id: str) -> None:
        """Stop the job from being run, or run on; harmless if it has ended."""
        self._client.cancel_workflow(job_id)

    def forget(self, job_id: str) -> None:
        """Remove the job's workflow record."""
        self._client.delete_workflow(job_id)

    def forget_ended(self, *, before: float, at_most: int) -> int:
        """Remove records of workflows that ended before that moment; return how many."""
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

    def failed_workflow_ids(self) -> list[str]:
        """Return the ids of failed workflows whose jobs may still be open."""
        ended = self._client.list_workflows(
            status=["ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"],
            name=WORKFLOW,
            load_input=False,
            load_output=False,
        )
        return [workflow.workflow_id for workflow in ended]

    def close(self) -> None:
        """Stop the client's threads; the engine stays open."""
        if self._opened is not None:
            self._opened.destroy()

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            _ = self._client  # opened before: SQLite has one connection that writes
            with self._store.engine.begin() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            raise StorageFailed("The job could not be recorded; try again later.") from error

    def _check_quota(
        self, connection: sa.Connection, new: Sequence[NewJob], quota: QueueQuota
    ) -> int:
        """Return the place of the last of `new`, which were just added, in its queue, from 1."""
        last = new[-1]
        values = {"of_owner": quota.owner, "in_queue": last.queue, "at_least": last.priority}
        queued = connection.execute(_COUNT_QUEUED, values).mappings().one()
        if _lock_if_nearly_full(connection, queued, quota):
            queued = connection.execute(_COUNT_QUEUED, values).mappings().one()
        for jobs_of, count, limit in (
            ("jobs", queued["all"], quota.max_queued),
            ("jobs of this API key", queued["own"], quota.owner_max_queued),
        ):
            if limit is not None and count > limit:
                raise QueueFull(
                    f"{count - len(new)} of at most {limit} {jobs_of} wait, and {len(new)} more"
                    f" {'was' if len(new) == 1 else 'were'} sent; try again later."
                )
        return int(queued["ahead"])

    def _enqueue(self, connection: sa.Connection, job: NewJob | Job) -> None:
        self._client.enqueue_in_transaction(
            connection,
            {
                "workflow_name": WORKFLOW,
                "queue_name": job.queue,
                "workflow_id": job.id,
                "app_version": WORKFLOW_VERSION,
                "priority": _NORMAL_PRIORITY - job.priority,
            },
            job.id,
        )


def _open_client(engine: sa.Engine) -> DBOSClient:
    from dbos import DBOSClient, DBOSPortableJSONSerializer

    migrate_queue(engine)
    return DBOSClient(
        system_database_engine=engine,
        application_name=APPLICATION,
        serializer=DBOSPortableJSONSerializer(),
    )


def launch(engine: sa.Engine, *, worker: str, kinds: Iterable[str], poll_interval: float) -> None:
    """Start DBOS in this process as `worker`, for the queues of the setting `queues`."""
    from dbos import DBOS, DBOSPortableJSONSerializer

    migrate_queue(engine)
    DBOS(
        config={
            "name": APPLICATION,
            "system_database_engine": engine,
            "application_version": WORKFLOW_VERSION,
            "executor_id": worker,
            "serializer": DBOSPortableJSONSerializer(),
            "run_migrations": False,
            "log_level": "WARNING",
        }
    )
    DBOS.listen_queues([queue for kind in kinds for queue in QUEUES[kind]])
    DBOS.launch()
    for queue, concurrency in CONCURRENCY.items():
        DBOS.register_queue(
            queue, worker_concurrency=concurrency, polling_interval_sec=poll_interval
        )


def requeue_abandoned(
    *, alive_ids: Callable[[], Collection[str]], claim_due: Callable[[], Collection[str]]
) -> list[str]:
    """Requeue running workflows whose worker is dead, or whose job waited long enough.

    The running workflows are listed first: a worker that registers, or takes a workflow over, in
    the meantime must not lose it.

    Returns:
        The ids of the requeued workflows.
    """
    from dbos import DBOS

    running = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
    if not running:
        return []
    alive, due = alive_ids(), claim_due()
    return [
        workflow.workflow_id
        for workflow in running
        if workflow.executor_id
        and (workflow.executor_id not in alive or workflow.workflow_id in due)
        and _requeue(workflow.workflow_id, workflow.executor_id)
    ]


def _requeue(workflow_id: str, executor_id: str) -> bool:
    """Put a workflow back in its queue unless another executor has it by now.

    The only call into DBOS's private API: its public recovery puts back all workflows of an
    executor, while those that wait for storage belong to live workers.
    """
    from dbos._dbos import _get_dbos_instance

    database = _get_dbos_instance()._sys_db
    return bool(database.reenqueue_for_recovery(workflow_id, [executor_id], CPU))


def _lock_if_nearly_full(
    connection: sa.Connection, queued: sa.RowMapping, quota: QueueQuota
) -> bool:
    """Lock the count to the commit near a limit: on PostgreSQL others add jobs meanwhile."""
    if connection.dialect.name != "postgresql":
        return False
    locked = False
    for name, count, limit in (
        ("", queued["all"], quota.max_queued),
        (f"of {quota.owner}", queued["own"], quota.owner_max_queued),
    ):
        if limit is not None and count > limit - _NEARLY_FULL:
            number = sa.literal(_QUOTA_LOCK + zlib.crc32(name.encode()), sa.BigInteger)
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))
            locked = True
    return locked
