"""/metrics in Prometheus' format: counted metrics and the current state of jobs and workers."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder

from artscraper_gateway.db.tables import deliveries, figures, jobs, processes
from artscraper_gateway.observability.metrics import ALL, PROCESS_FORGOTTEN_S, Figure
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_runner import __version__

_log = logging.getLogger(__name__)
_QUEUED = jobs.c.status == "queued"


@dataclass(frozen=True)
class MetricsCollector:
    """Reads the metrics from the database at each scrape."""

    config: GatewayConfig
    engine: sa.Engine
    clock: Callable[[], float] = time.time

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the text and its media type, in the newest format that `accept` allows."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        ProcessCollector(registry=registry)
        encode, media_type = choose_encoder(accept)
        return encode(registry), media_type

    def describe(self) -> Iterable[Metric]:
        """Return no metrics: registering then needs no database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; without the database only those of this process."""
        try:
            stored = self._stored()
        except sa.exc.SQLAlchemyError as error:
            _log.warning("metrics without the database: %s", error.__cause__)
            stored = None
        yield _gauge("artscraper_database_up", "Whether the database answers.", stored is not None)
        yield from stored or ()
        yield from self._limits()

    def _stored(self) -> list[Metric]:
        """Return the metrics of all processes, read in one transaction."""
        with self.engine.connect() as connection:
            return [
                *_counted(connection),
                *_jobs(connection, self.clock()),
                *_workers(connection, self.clock()),
                *_memory(connection, self.clock()),
                _waiting_webhooks(connection),
            ]

    def _limits(self) -> Iterator[Metric]:
        yield _gauge("artscraper_queue_limit", "Jobs that may wait.", self.config.max_queued)
        free = GaugeMetricFamily(
            "artscraper_disk_free_bytes", "Free bytes where files stand.", labels=["folder"]
        )
        for name, folder in (("base_dir", self.config.base_dir), ("output", _output(self.config))):
            with suppress(OSError):  # an output folder is made with the first results
                free.add_metric([name], shutil.disk_usage(folder).free)
        yield free
        info = GaugeMetricFamily("artscraper_info", "Always 1.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info


def _output(config: GatewayConfig) -> str:
    return str(config.output_folder)


def _gauge(name: str, description: str, value: float) -> Metric:
    return GaugeMetricFamily(name, description, value=value)


def _counted(connection: sa.Connection) -> Iterator[Metric]:
    found: dict[str, list[sa.Row[tuple[str, str, str, int, float]]]] = {}
    for row in connection.execute(sa.select(figures).order_by(figures.c.label)):
        found.setdefault(row.figure, []).append(row)
    for figure in ALL:
        rows = found.get(figure.name, [])
        yield _histogram(figure, rows) if figure.bounds else _counter(figure, rows)


def _counter(figure: Figure, rows: list[sa.Row[tuple[str, str, str, int, float]]]) -> Metric:
    labels = figure.label.split(",") if figure.label else []
    metric = CounterMetricFamily(figure.name, figure.help, labels=labels)
    counts = {row.label: row._mapping["count"] for row in rows}
    for label in dict.fromkeys((*(figure.values if labels else ("",)), *counts)):
        metric.add_metric(label.split("\t") if labels else [], counts.get(label, 0))
    return metric


def _histogram(figure: Figure, rows: list[sa.Row[tuple[str, str, str, int, float]]]) -> Metric:
    metric = HistogramMetricFamily(figure.name, figure.help, labels=figure.label.split(","))
    by_label: dict[str, dict[str, tuple[int, float]]] = {}
    for row in rows:
        by_label.setdefault(row.label, {})[row.bucket] = (row._mapping["count"], row.total)
    for label, buckets in by_label.items():
        below, cumulated = 0, []
        for name in figure.buckets:
            below += buckets.get(name, (0, 0.0))[0]
            cumulated.append((name, below))
        metric.add_metric(label.split("\t"), cumulated, sum(total for _, total in buckets.values()))
    return metric


def _jobs(connection: sa.Connection, now: float) -> Iterator[Metric]:
    states = GaugeMetricFamily("artscraper_jobs", "Jobs by state.", labels=["status", "queue"])
    query = sa.select(jobs.c.status, jobs.c.queue, sa.func.count().label("number"))
    for row in connection.execute(query.group_by(jobs.c.status, jobs.c.queue)):
        states.add_metric([row.status, row.queue], row.number)
    yield states
    depth = GaugeMetricFamily("artscraper_queue_depth", "Jobs that wait.", labels=["queue"])
    oldest = GaugeMetricFamily(
        "artscraper_queue_oldest_seconds", "How long the oldest one waits.", labels=["queue"]
    )
    waiting = sa.select(
        jobs.c.queue, sa.func.count().label("number"), sa.func.min(jobs.c.submitted_at).label("at")
    )
    found = {row.queue: row for row in connection.execute(waiting.where(_QUEUED).group_by("queue"))}
    for queue in sorted({"light", "heavy", *found}):  # a queue that is empty says 0
        number, since = (found[queue].number, found[queue].at) if queue in found else (0, now)
        depth.add_metric([queue], number)
        oldest.add_metric([queue], max(0.0, now - since))
    yield depth
    yield oldest
    size = sa.select(sa.func.coalesce(sa.func.sum(jobs.c.disk_bytes), 0))
    taken = float(connection.execute(size).scalar_one())
    yield _gauge("artscraper_disk_bytes", "Bytes of all jobs.", taken)


def _workers(connection: sa.Connection, now: float) -> Iterator[Metric]:
    """Count workers by their heartbeat: rows of `workers` stay when the last worker dies."""
    seen = sa.and_(processes.c.role == "worker", processes.c.seen_at >= now - PROCESS_FORGOTTEN_S)
    query = sa.select(sa.func.count()).select_from(processes).where(seen)
    alive = connection.execute(query).scalar_one()
    busy = sa.select(sa.func.count(jobs.c.worker.distinct()))
    yield _gauge("artscraper_workers", "Worker processes that are alive.", alive)
    at_work = connection.execute(busy).scalar_one()
    yield _gauge("artscraper_workers_busy", "Workers that run a job.", at_work)


def _memory(connection: sa.Connection, now: float) -> Iterator[Metric]:
    labels = ["role", "machine"]
    memory = GaugeMetricFamily(
        "artscraper_memory_bytes", "Memory in use by all processes of a role.", labels=labels
    )
    number = GaugeMetricFamily("artscraper_processes", "Processes of a role.", labels=labels)
    query = (
        sa.select(
            processes.c.role,
            processes.c.machine,
            sa.func.sum(processes.c.memory_bytes).label("memory"),
            sa.func.count().label("number"),
        )
        .where(processes.c.seen_at >= now - PROCESS_FORGOTTEN_S)
        .group_by(processes.c.role, processes.c.machine)
    )
    for row in connection.execute(query):
        memory.add_metric([row.role, row.machine], float(row.memory))
        number.add_metric([row.role, row.machine], row.number)
    yield memory
    yield number


def _waiting_webhooks(connection: sa.Connection) -> Metric:
    query = sa.select(sa.func.count()).where(deliveries.c.status == "pending")
    waiting = connection.execute(query).scalar_one()
    return _gauge("artscraper_webhooks_waiting", "Webhooks that are to be delivered.", waiting)
