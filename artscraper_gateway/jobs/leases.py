"""Who works on the queue: every worker registers and shows signs of life; the dead are given up.

A worker counts up its own number in the table of workers, once a second. Every worker looks at
the numbers of the others, and gives up one whose number it has seen unchanged in so many looks in
a row: it deletes the row, and the database then frees the jobs that were held in its name. No
clock is compared with another one's, so stepping a clock changes nothing, and neither does an
outage of the database, because only looks that succeed count.

A worker that was frozen and wakes finds itself given up. It can hold no job any more (the
database refuses its name), so nothing it still writes is ever seen, and it ends.
"""

from __future__ import annotations

import logging
import re
import secrets
import socket
from dataclasses import dataclass, field

import sqlalchemy as sa

from artscraper_gateway.db.engine import reading
from artscraper_gateway.db.tables import workers

_log = logging.getLogger(__name__)
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9-]+")


class WorkerGivenUp(BaseException):
    """The worker was thought dead and its jobs have gone to others: it must write no more.

    Not an `Exception`, so that nothing on the way takes it for the failure of a job.
    """

    def __init__(self, worker: str) -> None:
        super().__init__(f"worker {worker} was given up; others have its jobs")


def machine_name() -> str:
    """Returns the host's name, which no two machines of a fleet may share."""
    return _NOT_IN_NAMES.sub("-", socket.gethostname())


def worker_name(slot: int) -> str:
    """Returns the name of the worker in `slot` of this machine: the same at every start."""
    return f"{machine_name()}.slot-{slot}"


@dataclass
class Heartbeats:
    """The table of workers as one worker sees it. Not for several threads at once."""

    engine: sa.Engine
    name: str
    patience: int  # looks without a beat after which a worker is given up
    id: str = field(init=False)
    has_left: bool = field(default=False, init=False)  # on purpose
    _seen: dict[str, int] = field(default_factory=dict, init=False)
    _silent: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        # A new one at each start: what a former process of this name still writes is not ours.
        self.id = f"{self.name}.{secrets.token_hex(3)}"

    def register(self) -> None:
        """Enters this worker; one of the same name before it is dead, for its slot was free."""
        with self.engine.begin() as connection:
            connection.execute(sa.delete(workers).where(workers.c.name == self.name))
            connection.execute(sa.insert(workers).values(id=self.id, name=self.name, beats=0))

    def beat(self) -> None:
        """Shows a sign of life.

        Raises:
            WorkerGivenUp: too late.
        """
        sign = sa.update(workers).where(workers.c.id == self.id).values(beats=workers.c.beats + 1)
        with self.engine.begin() as connection:
            if connection.execute(sign).rowcount == 0:
                raise WorkerGivenUp(self.id)

    def give_up_silent(self) -> list[str]:
        """Looks at the others once; returns those that this look was the end of."""
        try:
            beats = self._look()
        except sa.exc.DBAPIError:
            self._silent.clear()  # who could not beat either is not to be blamed
            raise
        self._silent = {
            worker: self._silent.get(worker, 0) + 1 if self._seen.get(worker) == count else 0
            for worker, count in beats.items()
        }
        self._seen = beats
        return [worker for worker in beats if self._is_over(worker) and self._delete(worker)]

    def alive(self) -> set[str]:
        """Returns the ids of all that are registered, this one among them."""
        with reading(self.engine) as connection:
            return set(connection.execute(sa.select(workers.c.id)).scalars())

    def _look(self) -> dict[str, int]:
        query = sa.select(workers.c.id, workers.c.beats).where(workers.c.id != self.id)
        with reading(self.engine) as connection:
            return {row.id: row.beats for row in connection.execute(query)}

    def _is_over(self, worker: str) -> bool:
        return self._silent[worker] >= self.patience

    def _delete(self, worker: str) -> bool:
        """Deletes the row unless the worker has beaten since, or another was quicker."""
        unchanged = sa.and_(workers.c.id == worker, workers.c.beats == self._seen[worker])
        with self.engine.begin() as connection:
            found = connection.execute(sa.delete(workers).where(unchanged)).rowcount == 1
        if found:
            _log.warning("worker %s is silent; its jobs go to others", worker)
        return found
