"""/metrics in Prometheus' format: counters of this machine, and jobs and workers of the fleet."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from artscraper_gateway.db.retry import log_outage
from artscraper_gateway.db.tables import deliveries, jobs, workers
from artscraper_gateway.observability.metrics import Metrics
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.paths import machine_name
from artscraper_runner import __version__

_log = logging.getLogger(__name__)
_QUEUED = jobs.c.status == "queued"
WORKER_SILENCE_S = 60.0


@dataclass(eq=False)
class WorkerCensus:
    """Counts the workers of the fleet whose heartbeat advanced during the last minute.

    The rows of `workers` are not enough: they remain when the last worker dies. For its first
    minute a web process counts them all.
    """

    clock: Callable[[], float] = time.monotonic
    _beats: dict[str, tuple[int, float]] = field(default_factory=dict)

    def count(self, connection: sa.Connection) -> int:
        """Return the number of workers that are alive."""
        now, before = self.clock(), self._beats
        self._beats = {}
        for worker, beats in connection.execute(sa.select(workers.c.id, workers.c.beats)):
            last_beats, seen_at = before.get(worker, (None, now))
            self._beats[worker] = (beats, seen_at if beats == last_beats else now)
        return sum(now - seen_at < WORKER_SILENCE_S for _, seen_at in self._beats.values())


@dataclass(frozen=True)
class MetricsCollector:
    """Collects at each scrape; without an engine only what concerns this machine."""

    config: GatewayConfig
    metrics: Metrics
    engine: sa.Engine | None = None
    clock: Callable[[], float] = time.time
    census: WorkerCensus = field(default_factory=WorkerCensus)

    def registry(self) -> CollectorRegistry:
        """Return a registry with these metrics and the process's own."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        ProcessCollector(registry=registry)
        return registry

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the text and its media type, in the newest format that `accept` allows."""
        encode, media_type = choose_encoder(accept)
        return encode(self.registry()), media_type

    def describe(self) -> Iterable[Metric]:
        """Return no metrics: registering then needs no database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; database metrics only while the database responds."""
        yield from self.metrics.collect()
        yield from _processes(self.metrics)
        yield from self._machine()
        if self.engine is not None:
            yield from self._fleet(self.engine)

    def _fleet(self, engine: sa.Engine) -> Iterator[Metric]:
        """Yield the metrics of the database, read in one transaction."""
        stored: list[Metric] = []
        try:
            with engine.connect() as connection:
                stored += _jobs(connection, self.clock())
                stored += _workers(connection, self.census)
                stored.append(_waiting_webhooks(connection))
            is_up = True
        except sa.exc.SQLAlchemyError as error:
            log_outage(_log, "metrics are answered without the database", error)
            stored, is_up = [], False
        yield _gauge("artscraper_database_up", "Whether the database answers.", is_up)
        yield from stored

    def _machine(self) -> Iterator[Metric]:
        yield _gauge("artscraper_queue_limit", "Jobs that may wait.", self.config.max_queued)
        free = GaugeMetricFamily(
            "artscraper_disk_free_bytes", "Free bytes where files are stored.", labels=["folder"]
        )
        folders = {"base_dir": self.config.base_dir, "output": self.config.output_folder}
        for name, folder in folders.items():
            with suppress(OSError):  # an output folder is made with the first results
                free.add_metric([name], shutil.disk_usage(folder).free)
        yield free
        info = GaugeMetricFamily("artscraper_info", "Always 1.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info


class MetricsPortUnusable(Exception):
    """The setting `metrics_port` cannot be bound."""


def start_metrics_server(collector: MetricsCollector) -> None:
    """Serve /metrics from a thread, on the settings `host` and `metrics_port`, if that is set.

    Raises:
        MetricsPortUnusable: the port is in use, or the address is not of this machine.
    """
    host, port = collector.config.host, collector.config.metrics_port
    if port is None:
        return
    try:
        start_http_server(port, host, collector.registry())
    except OSError as error:
        raise MetricsPortUnusable(
            f"cannot answer /metrics on {host} port {port}: {error.strerror}; choose another"
            " with --metrics-port"
        ) from error


def _gauge(name: str, description: str, value: float) -> Metric:
    return GaugeMetricFamily(name, description, value=value)


def _jobs(connection: sa.Connection, now: float) -> Iterator[Metric]:
    states = GaugeMetricFamily("artscraper_jobs", "Jobs by state.", labels=["status", "queue"])
    query = sa.select(jobs.c.status, jobs.c.queue, sa.func.count().label("number"))
    for row in connection.execute(query.group_by(jobs.c.status, jobs.c.queue)):
        states.add_metric([row.status, row.queue], row.number)
    yield states
    depth = GaugeMetricFamily("artscraper_queue_depth", "Jobs that wait.", labels=["queue"])
    oldest = GaugeMetricFamily(
        "artscraper_queue_oldest_seconds", "Age of the oldest job that waits.", labels=["queue"]
    )
    waiting = sa.select(
        jobs.c.queue, sa.func.count().label("number"), sa.func.min(jobs.c.submitted_at).label("at")
    )
    rows = {row.queue: row for row in connection.execute(waiting.where(_QUEUED).group_by("queue"))}
    for queue in sorted({"passthrough", "heavy", *rows}):  # an empty queue is exported as 0
        number, since = (rows[queue].number, rows[queue].at) if queue in rows else (0, now)
        depth.add_metric([queue], number)
        oldest.add_metric([queue], max(0.0, now - since))
    yield depth
    yield oldest
    size = sa.select(sa.func.coalesce(sa.func.sum(jobs.c.disk_bytes), 0))
    taken = float(connection.execute(size).scalar_one())
    yield _gauge("artscraper_disk_bytes", "Bytes of all jobs.", taken)


def _workers(connection: sa.Connection, census: WorkerCensus) -> Iterator[Metric]:
    alive = census.count(connection)
    yield _gauge("artscraper_workers", "Worker processes of the fleet that are alive.", alive)
    busy = sa.select(sa.func.count(jobs.c.worker.distinct()))
    at_work = connection.execute(busy).scalar_one()
    yield _gauge("artscraper_workers_busy", "Workers that run a job.", at_work)


def _processes(metrics: Metrics) -> Iterator[Metric]:
    memory_bytes: dict[str, float] = defaultdict(float)
    number: dict[str, int] = defaultdict(int)
    for role, process_id in metrics.files.running():
        number[role] += 1
        memory_bytes[role] += resident_bytes(process_id) or 0
    labels, machine = ["role", "machine"], machine_name()
    memory = GaugeMetricFamily(
        "artscraper_memory_bytes", "Memory in use by all processes of a role.", labels=labels
    )
    processes = GaugeMetricFamily("artscraper_processes", "Processes of a role.", labels=labels)
    for role in sorted(number):
        if memory_bytes[role]:
            memory.add_metric([role, machine], memory_bytes[role])
        processes.add_metric([role, machine], number[role])
    yield memory
    yield processes


def resident_bytes(process_id: int) -> int | None:
    """Return the memory in use by a process in bytes; None if /proc does not have it."""
    try:
        pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _waiting_webhooks(connection: sa.Connection) -> Metric:
    query = sa.select(sa.func.count()).where(deliveries.c.status == "pending")
    waiting = connection.execute(query).scalar_one()
    return _gauge("artscraper_webhooks_waiting", "Webhooks still to be delivered.", waiting)
