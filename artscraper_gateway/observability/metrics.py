"""Counters and histograms, by prometheus_client in its multiprocess mode.

Each process counts in memory-mapped files of its own, which all processes of one machine keep in
one folder below `base_dir`; a scrape adds them up. Counters survive restarts and kills.

Label values come from fixed sets (stages, processors, encoders, codes of problems), never from
requests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal

from prometheus_client import Counter, Histogram, values
from prometheus_client.core import Metric

from artscraper_gateway.observability.metric_files import MetricFiles
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.paths import machine_name

Role = Literal["web", "worker", "supervisor"]
_LONG_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900)
_SHORT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Metrics:
    """The metrics of this process.

    prometheus_client keeps one place for values in a process. If a process makes two of these, as
    tests do, labels that the first one uses later are counted in the folder of the second one.

    Raises:
        OSError: the files cannot be made, as on a full disk.
    """

    def __init__(self, config: GatewayConfig, role: Role) -> None:
        self.files = MetricFiles(config.base_dir / "metrics" / machine_name())
        self.files.prepare(f"{role}-{os.getpid()}")
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self.files.folder)
        values.ValueClass = values.MultiProcessValue(  # type: ignore[no-untyped-call]
            lambda: f"{role}-{os.getpid()}"
        )

        self.jobs_accepted = _counter("jobs_accepted", "Jobs that were accepted.")
        self.jobs_ended = _counter(
            "jobs_ended", "Jobs that ended: done, failed, cancelled.", "outcome"
        )
        self.rejections = _counter("rejections", "Problems answered, by their code.", "reason")
        self.requests = _counter("http_requests", "Requests answered, by HTTP status.", "status")
        self.storage_errors = _counter(
            "storage_errors", "Requests and stages that failed because storage did."
        )
        self.received_bytes = _counter("received_bytes", "Bytes of request bodies.")
        self.sent_bytes = _counter("sent_bytes", "Bytes of response bodies.")
        self.deliveries = _counter(
            "webhook_deliveries",
            "Attempts to deliver a webhook: delivered, pending (retried later), failed, closed.",
            "outcome",
        )
        self.stage_failures = _counter("stage_failures", "Stages that failed.", "stage")
        self.request_seconds = _histogram(
            "http_request_seconds",
            "Seconds to answer a request, by method and route.",
            ("method", "route"),
            _SHORT_S,
        )
        self.queue_wait_seconds = _histogram(
            "queue_wait_seconds",
            "Seconds from submission to the first run of a job, by queue.",
            ("queue",),
            _LONG_S,
        )
        self.job_seconds = _histogram(
            "job_seconds", "Seconds from submission to end.", ("outcome",), _LONG_S
        )
        self.stage_seconds = _histogram(
            "stage_seconds", "Seconds that a stage ran, analysis as a whole.", ("stage",), _LONG_S
        )
        self.processor_seconds = _histogram(
            "processor_seconds", "Seconds that a processor ran.", ("processor",), _SHORT_S
        )
        self.encoder_load_seconds = _histogram(
            "encoder_load_seconds", "Seconds to load an encoder.", ("encoder",), _LONG_S
        )
        self._export_outcomes()

    def _export_outcomes(self) -> None:
        """Export outcomes before they happen, so that the first failure is an increase."""
        for outcome in ("done", "failed", "cancelled"):
            self.jobs_ended.labels(outcome)
            self.job_seconds.labels(outcome)
        for outcome in ("delivered", "pending", "failed", "closed"):
            self.deliveries.labels(outcome)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, added up over the processes of this machine."""
        sums = self.files.sums()
        for member in vars(self).values():
            if isinstance(member, Counter | Histogram):
                for empty in member.describe():
                    yield sums.get(empty.name, empty)


def _counter(name: str, description: str, *labels: str) -> Counter:
    return Counter(f"artscraper_{name}", description, labels, registry=None)


def _histogram(
    name: str, description: str, labels: tuple[str, ...], bounds_s: tuple[float, ...]
) -> Histogram:
    return Histogram(f"artscraper_{name}", description, labels, registry=None, buckets=bounds_s)
