"""Leases on jobs: which worker may write about which job, and which workers are alive.

A job is leased to a registered worker or to none: a foreign key enforces it, so deleting a worker's
row releases its jobs. Each worker increments a counter in its own row once a second. Every worker
polls the counters of the others and expires those that did not change for a number of polls.
No clocks are compared, so a clock that is set back changes nothing, and failed polls do not count,
so neither does an outage of the database.

A worker that was frozen and wakes up finds its row gone. It cannot lease anything any more, so
whatever it still writes stays invisible, and it exits.
"""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from artscraper_gateway.db.engine import reading
from artscraper_gateway.db.tables import jobs, workers
from artscraper_gateway.storage.paths import machine_name

_log = logging.getLogger(__name__)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_WATCH_PREDECESSOR_S = 3.0  # three beats
_POLL_PREDECESSOR_S = 0.25


class LeaseLost(BaseException):
    """The worker was expired and others have its jobs: it must not write any more.

    Not an `Exception`, so that it is not handled as the failure of a job.
    """

    def __init__(self, worker: str) -> None:
        super().__init__(f"worker {worker} was expired; others have its jobs")


class HostNameTaken(Exception):
    """Another machine of the same host name runs a worker with the same slot."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"a worker named {name} is alive on another machine or in another base_dir; give each"
            " machine of a fleet a host name of its own (hostname, --hostname, or spec.hostname)"
        )


def worker_name(slot: int) -> str:
    """Return the name of this machine's worker in `slot`; the same at every start."""
    return f"{machine_name()}.slot-{slot}"


def slot_origin(slots: Path) -> str:
    """Identify the lock files in the folder `slots`: two workers with one origin exclude each
    other by a file lock, so one of them is dead. "" if this system has no boot id.
    """
    try:
        boot, place = _BOOT_ID.read_text().strip(), slots.stat()
    except OSError:
        return ""
    return f"{boot}:{place.st_dev}:{place.st_ino}"


@dataclass(frozen=True)
class Leases:
    """The lease of each job by a worker. Every method is one statement and safe to repeat."""

    engine: sa.Engine

    def acquire(self, job_id: str, *, worker: str) -> bool:
        """Lease an open job; False if it has ended, is being deleted or is leased to another.

        Raises:
            LeaseLost: the worker was expired.
        """
        is_free = sa.or_(jobs.c.worker.is_(None), jobs.c.worker == worker)
        is_open = jobs.c.status.in_(("queued", "running"))
        lease = sa.update(jobs).where(jobs.c.id == job_id, is_open, is_free)
        try:
            with self.engine.begin() as connection:
                return connection.execute(lease.values(worker=worker, retry_at=None)).rowcount == 1
        except sa.exc.IntegrityError as error:
            raise LeaseLost(worker) from error

    def release(self, job_id: str, *, worker: str) -> None:
        """End the worker's lease on the job, if it has one."""
        mine = sa.and_(jobs.c.id == job_id, jobs.c.worker == worker)
        with self.engine.begin() as connection:
            connection.execute(sa.update(jobs).where(mine).values(worker=None))

    def owner(self, job_id: str) -> str | None:
        """Return the worker that has the job, even one being deleted; None if none has."""
        query = sa.select(jobs.c.worker).where(jobs.c.id == job_id)
        with reading(self.engine) as connection:
            return connection.execute(query).scalar_one_or_none()

    def is_registered(self, worker: str) -> bool:
        """Return whether the worker may lease jobs; once expired it never may again."""
        query = sa.select(workers.c.id).where(workers.c.id == worker)
        with reading(self.engine) as connection:
            return connection.execute(query).first() is not None

    def deregister(self, worker: str) -> None:
        """Remove a worker that stops on purpose, and do not count the attempts it had begun.

        One transaction: its own threads would take a lost lease for a cancelled job.
        """
        mine = sa.and_(jobs.c.worker == worker, jobs.c.status == "running")
        fewer = sa.case((jobs.c.stage_attempts > 0, jobs.c.stage_attempts - 1), else_=0)
        with self.engine.begin() as connection:
            connection.execute(sa.update(jobs).where(mine).values(stage_attempts=fewer))
            connection.execute(sa.delete(workers).where(workers.c.id == worker))


@dataclass
class Heartbeats:
    """One worker's view of the table of workers. Not thread-safe."""

    engine: sa.Engine
    name: str
    missed_beats_limit: int  # unchanged polls after which a worker is expired
    origin: str = ""  # see `slot_origin`
    id: str = field(init=False)
    has_left: bool = field(default=False, init=False)  # deregistered on purpose
    _beats: dict[str, int] = field(default_factory=dict, init=False)
    _missed: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        # New at each start: what an earlier process of this name still writes must not count.
        self.id = f"{self.name}.{secrets.token_hex(3)}"

    def register(self) -> None:
        """Insert this worker's row and delete the row of a dead worker of the same name.

        Raises:
            HostNameTaken: the predecessor is alive.
        """
        self._wait_for_predecessor()
        row = {"id": self.id, "name": self.name, "origin": self.origin, "beats": 0}
        with self.engine.begin() as connection:
            connection.execute(sa.delete(workers).where(workers.c.name == self.name))
            connection.execute(sa.insert(workers).values(row))

    def beat(self) -> None:
        """Increment this worker's counter.

        Raises:
            LeaseLost: the worker was expired.
        """
        beat = sa.update(workers).where(workers.c.id == self.id).values(beats=workers.c.beats + 1)
        with self.engine.begin() as connection:
            if connection.execute(beat).rowcount == 0:
                raise LeaseLost(self.id)

    def expire_stale_workers(self) -> list[str]:
        """Poll the other workers once and expire those that missed too many beats.

        Returns:
            The ids of the workers expired by this poll.
        """
        query = sa.select(workers.c.id, workers.c.beats).where(workers.c.id != self.id)
        try:
            with reading(self.engine) as connection:
                beats = {row.id: row.beats for row in connection.execute(query)}
        except sa.exc.DBAPIError:
            self._missed.clear()  # the others could not beat either
            raise
        self._missed = {
            worker: self._missed.get(worker, 0) + 1 if self._beats.get(worker) == count else 0
            for worker, count in beats.items()
        }
        self._beats = beats
        stale = [each for each in beats if self._missed[each] >= self.missed_beats_limit]
        return [worker for worker in stale if self._expire(worker)]

    def alive_ids(self) -> set[str]:
        """Return the ids of all registered workers, including this one."""
        with reading(self.engine) as connection:
            return set(connection.execute(sa.select(workers.c.id)).scalars())

    def _expire(self, worker: str) -> bool:
        """Delete the row unless the worker has beaten since, or another was faster."""
        unchanged = sa.and_(workers.c.id == worker, workers.c.beats == self._beats[worker])
        with self.engine.begin() as connection:
            is_expired = connection.execute(sa.delete(workers).where(unchanged)).rowcount == 1
        if is_expired:
            _log.warning("worker %s missed its heartbeats; its jobs are released", worker)
        return is_expired

    def _wait_for_predecessor(self) -> None:
        """Return once the row of this name, if any, is proved to be a dead worker's."""
        first = self._predecessor()
        if first is None or (self.origin and first.origin == self.origin):
            return  # the file lock of the slot proves that it is dead
        deadline = time.monotonic() + _WATCH_PREDECESSOR_S
        while time.monotonic() < deadline:
            time.sleep(_POLL_PREDECESSOR_S)
            row = self._predecessor()
            if row is None:
                return
            if (row.id, row.beats) != (first.id, first.beats):
                raise HostNameTaken(self.name)

    def _predecessor(self) -> Any:
        query = sa.select(workers.c.id, workers.c.beats, workers.c.origin)
        with reading(self.engine) as connection:
            return connection.execute(query.where(workers.c.name == self.name)).first()
