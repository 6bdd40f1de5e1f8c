"""Counters and histograms: kept in memory by each process, added to one table every second.

So /metrics of any web process shows the totals of all processes on all machines, and they keep
growing when processes come and go. A process that is killed loses its last second of counts; the
number of jobs is read from their own table (`prometheus.py`).

Label values come from fixed sets (stages, processors, encoders, codes of problems), never from
requests.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

import sqlalchemy as sa

from artscraper_gateway.db.engine import SQLITE_BUSY_MS
from artscraper_gateway.db.tables import figures, processes
from artscraper_gateway.db.upsert import upsert

FLUSH_EVERY_S: Final = 1.0
PROCESS_FORGOTTEN_S: Final = 60.0
_REPORT_MEMORY_EVERY_S = 10.0
_LOCK_WAIT_MS = 300  # for rows that other processes have locked
COUNTER: Final = "counter"  # in the place of a bucket
_INFINITE = "+Inf"


@dataclass(frozen=True)
class Figure:
    """A counter, or a histogram if it has `bounds`: upper ends of its buckets in seconds.

    `label` names its labels, separated by commas. `values` are the label values that a counter
    exports from the beginning, so that the first event is an increase.
    """

    name: str
    help: str
    label: str = ""
    bounds: tuple[float, ...] = ()
    values: tuple[str, ...] = ()

    def bucket_of(self, value: float) -> str:
        """Return the name of the bucket that `value` falls into."""
        index = bisect_left(self.bounds, value)
        return f"{self.bounds[index]:g}" if index < len(self.bounds) else _INFINITE

    @property
    def buckets(self) -> tuple[str, ...]:
        """The names of all buckets, the smallest first."""
        return (*(f"{bound:g}" for bound in self.bounds), _INFINITE)


_LONG_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900)
_SHORT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)

JOBS_ACCEPTED = Figure("artscraper_jobs_accepted", "Jobs that were accepted.")
JOBS_ENDED = Figure(
    "artscraper_jobs_ended",
    "Jobs that ended: done, failed, cancelled.",
    "outcome",
    values=("done", "failed", "cancelled"),
)
REJECTIONS = Figure("artscraper_rejections", "Problems answered, by their code.", "reason")
REQUESTS = Figure("artscraper_http_requests", "Requests answered, by HTTP status.", "status")
REQUEST_SECONDS = Figure(
    "artscraper_http_request_seconds",
    "Seconds to answer a request, by method and route.",
    "method,route",
    _SHORT_S,
)
QUEUE_WAIT_SECONDS = Figure(
    "artscraper_queue_wait_seconds",
    "Seconds from submission to the job's first run, by queue.",
    "queue",
    _LONG_S,
)
STORAGE_ERRORS = Figure(
    "artscraper_storage_errors", "Requests and stages that failed because storage did."
)
RECEIVED = Figure("artscraper_received_bytes", "Bytes of requests' bodies.")
SENT = Figure("artscraper_sent_bytes", "Bytes of answers' bodies.")
DELIVERIES = Figure(
    "artscraper_webhook_deliveries",
    "Tries to deliver a webhook: delivered, pending (tried again later), failed, closed.",
    "outcome",
    values=("delivered", "pending", "failed", "closed"),
)
STAGE_FAILURES = Figure("artscraper_stage_failures", "Stages that broke.", "stage")
JOB_SECONDS = Figure(
    "artscraper_job_seconds", "Seconds from submission to end.", "outcome", _LONG_S
)
STAGE_SECONDS = Figure(
    "artscraper_stage_seconds", "Seconds that a stage ran, analysis as a whole.", "stage", _LONG_S
)
PROCESSOR_SECONDS = Figure(
    "artscraper_processor_seconds", "Seconds that a processor ran.", "processor", _SHORT_S
)
ENCODER_LOAD_SECONDS = Figure(
    "artscraper_encoder_load_seconds", "Seconds to load an encoder.", "encoder", _LONG_S
)
ALL: tuple[Figure, ...] = tuple(each for each in list(globals().values()) if type(each) is Figure)


def label_of(*values: str) -> str:
    """Return the label of a metric that has several, in the order of its `label`."""
    return "\t".join(values)


@dataclass
class MetricsRegistry:
    """The metrics of this process; every method may be called from any thread."""

    role: str  # web or worker
    machine: str
    _rows: dict[tuple[str, str, str], list[float]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0.0])
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _reported_at: float = float("-inf")

    def count(self, figure: Figure, label: str = "", *, by: int = 1) -> None:
        """Add `by` to a counter."""
        self._add(figure, label, COUNTER, by, 0.0)

    def observe(self, figure: Figure, value_s: float, label: str = "") -> None:
        """Add a duration to a histogram."""
        self._add(figure, label, figure.bucket_of(value_s), 1, value_s)

    def flush(self, engine: sa.Engine) -> None:
        """Add what was counted since the last time to the table, and says what memory is used.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: not now; nothing is lost, it goes with the next flush.
        """
        with self._lock:
            rows, self._rows = self._rows, defaultdict(lambda: [0, 0.0])
        is_due = time.monotonic() - self._reported_at > _REPORT_MEMORY_EVERY_S
        if not (rows or is_due):
            return
        try:
            with _brief_transaction(engine) as connection:
                for key in sorted(rows):  # in one order: no two processes wait for each other
                    _add_row(connection, key, *rows[key])
                if is_due:
                    self._report_memory(connection)
        except sa.exc.SQLAlchemyError:
            for (figure, label, bucket), (number, total) in rows.items():
                self._add_named(figure, label, bucket, number, total)
            raise
        if is_due:
            self._reported_at = time.monotonic()

    def leave(self, engine: sa.Engine) -> None:
        """Flush, and takes this process off the list."""
        self.flush(engine)
        with engine.begin() as connection:
            connection.execute(sa.delete(processes).where(processes.c.id == self._process_id))

    @property
    def _process_id(self) -> str:
        return f"{self.machine}.{os.getpid()}"

    def _add(self, figure: Figure, label: str, bucket: str, number: int, total: float) -> None:
        self._add_named(figure.name, label, bucket, number, total)

    def _add_named(self, figure: str, label: str, bucket: str, number: float, total: float) -> None:
        with self._lock:
            row = self._rows[figure, label, bucket]
            row[0] += number
            row[1] += total

    def _report_memory(self, connection: sa.Connection) -> None:
        memory = resident_bytes()
        if memory is None:
            return
        now = time.time()
        said = {"role": self.role, "machine": self.machine, "memory_bytes": memory, "seen_at": now}
        row = upsert(connection, processes).values(id=self._process_id, **said)
        connection.execute(row.on_conflict_do_update(index_elements=["id"], set_=said))
        silent = processes.c.seen_at < now - PROCESS_FORGOTTEN_S
        connection.execute(sa.delete(processes).where(silent))


@contextmanager
def _brief_transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a transaction that fails soon if its rows are locked.

    Counts stay for the next flush; requests that wait for the same connection could not wait.
    """
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            driver = cast(sqlite3.Connection, connection.connection.driver_connection)
            driver.execute(f"PRAGMA busy_timeout={_LOCK_WAIT_MS}")
            try:
                with connection.begin():
                    yield connection
            finally:
                driver.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_MS}")
        else:
            with connection.begin():
                connection.execute(sa.text(f"SET LOCAL lock_timeout = {_LOCK_WAIT_MS}"))
                yield connection


def resident_bytes() -> int | None:
    """Return the memory that this process has in use, in bytes; None where /proc tells nothing."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _add_row(
    connection: sa.Connection, key: tuple[str, str, str], number: float, total: float
) -> None:
    figure, label, bucket = key
    row = upsert(connection, figures).values(
        figure=figure, label=label, bucket=bucket, count=int(number), total=total
    )
    grown = {
        "count": figures.c.count + row.excluded["count"],
        "total": figures.c.total + row.excluded.total,
    }
    connection.execute(
        row.on_conflict_do_update(index_elements=["figure", "label", "bucket"], set_=grown)
    )
