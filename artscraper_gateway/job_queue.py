"""The durable queue as the web process sees it: put a job in, take one out.

`heavy` jobs decode the picture and run one at a time in a process, so that a crash is blamed on
the job that caused it; `light` jobs only file the picture away and run several at a time, because
a queue that is looked at 20 times a second would otherwise finish at most 20 of them. With
`gpu_queue` set, jobs with a stage that looks through an encoder have a queue of their own, for
workers on machines that have a CUDA device. A worker takes one heavy job at a time of each.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from dbos import DBOSClient
from dbos import DBOSPortableJSONSerializer as JSONSerializer

from artscraper_gateway.errors import StorageFailed
from artscraper_gateway.store import Job, JobStore

APPLICATION = "artscraper-gateway"
# Pinned: a changed version would leave the jobs of the old one waiting for an old worker. Raise it
# only when the order of a workflow's steps changes.
WORKFLOW_VERSION = "1"
WORKFLOW = "run_job"
LIGHT, HEAVY, GPU = "light", "heavy", "gpu"
QUEUES = {"cpu": (LIGHT, HEAVY), "gpu": (GPU,)}  # by what workers are told to take
_THROUGH_AN_ENCODER = {"fawkes", "photoguard", "mist", "nightshade"}
_NORMAL_PRIORITY = 100  # lower runs first; unset would be 0, ahead of all


def is_heavy(request: dict[str, Any]) -> bool:
    """Whether a job of this request decodes its picture."""
    return bool(request["include_protection"] or request["include_hash_analysis"])


class JobQueue:
    """Enqueues and cancels the workflow of a job; the workflow's id is the job's id."""

    def __init__(self, store: JobStore, *, gpu_queue: bool = False) -> None:
        self._store = store
        self._gpu_queue = gpu_queue
        self._client = DBOSClient(
            system_database_engine=store.engine,
            application_name=APPLICATION,
            serializer=JSONSerializer(),
        )

    def submit(self, job_id: str, *, source: str, request: dict[str, Any]) -> Job:
        """Adds the job's row and its workflow in one transaction: both exist, or neither.

        Raises:
            StorageFailed: the database would not take it.
        """
        try:
            with self._store.engine.begin() as connection:
                job = self._store.add(connection, job_id, source=source, request=request)
                self._enqueue(connection, job_id, self._queue_for(request))
        except sa.exc.OperationalError as error:
            raise StorageFailed("The job could not be recorded; try again later.") from error
        return job

    def knows(self, job_id: str) -> bool:
        """Whether the job was accepted."""
        return self._store.exists(job_id)

    def cancel(self, job_id: str) -> None:
        """Stops the job from being run, or run on; harmless when it has ended."""
        self._client.cancel_workflow(job_id)

    def forget(self, job_id: str) -> None:
        """Removes the queue's own record of the job."""
        self._client.delete_workflow(job_id)

    def close(self) -> None:
        """Ends the client's threads; the engine stays open."""
        self._client.destroy()

    def _queue_for(self, request: dict[str, Any]) -> str:
        if self._gpu_queue and _THROUGH_AN_ENCODER & set(request["stages"]):
            return GPU
        return HEAVY if is_heavy(request) else LIGHT

    def _enqueue(self, connection: sa.Connection, job_id: str, queue: str) -> None:
        self._client.enqueue_in_transaction(
            connection,
            {
                "workflow_name": WORKFLOW,
                "queue_name": queue,
                "workflow_id": job_id,
                "app_version": WORKFLOW_VERSION,
                "priority": _NORMAL_PRIORITY,
            },
            job_id,
        )
