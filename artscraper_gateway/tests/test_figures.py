"""The figures: added up over processes, exported whole, with labels that nobody can multiply."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.db.tables import processes
from artscraper_gateway.observability.metrics import (
    JOB_SECONDS,
    JOBS_ACCEPTED,
    REJECTIONS,
    STAGE_SECONDS,
    MetricsRegistry,
    resident_bytes,
)
from artscraper_gateway.observability.prometheus import MetricsCollector
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import REPOSITORY, GatewayProcess, until
from artscraper_gateway.tests.support.in_process import InProcessGateway
from artscraper_gateway.tests.webhook_receiver import webhook_receiver

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
_METRIC = re.compile(r"\bartscraper_(?!gateway|runner)\w+")


@pytest.fixture
def config(tmp_path: Path) -> GatewayConfig:
    return GatewayConfig(base_dir=tmp_path / "jobs", output_parent=tmp_path)


@pytest.fixture
def engine(config: GatewayConfig) -> Iterator[sa.Engine]:
    engine = open_engine(config)
    yield engine
    engine.dispose()


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def exported(config: GatewayConfig, engine: sa.Engine) -> Samples:
    return samples(MetricsCollector(config, engine).render("text/plain")[0].decode())


def of(found: Samples, name: str, **labels: str) -> float:
    return found.get((name, tuple(sorted(labels.items()))), 0.0)


def test_processes_add_to_one_another(config: GatewayConfig, engine: sa.Engine) -> None:
    recorders = [MetricsRegistry("web", "a"), MetricsRegistry("worker", "b")]
    for number, recorder in enumerate(recorders, start=1):
        recorder.count(JOBS_ACCEPTED, by=number)
        recorder.observe(STAGE_SECONDS, 0.3 * number, "mist")
        recorder.flush(engine)
        recorder.flush(engine)  # nothing is added twice
    found = exported(config, engine)
    assert of(found, "artscraper_jobs_accepted_total") == 3
    assert of(found, "artscraper_stage_seconds_count", stage="mist") == 2
    assert of(found, "artscraper_stage_seconds_sum", stage="mist") == pytest.approx(0.9)


def test_outcomes_are_there_before_the_first_of_them(
    config: GatewayConfig, engine: sa.Engine
) -> None:
    """Else the first failure is no increase, and no alert sees it."""
    found = exported(config, engine)
    assert found["artscraper_jobs_ended_total", (("outcome", "failed"),)] == 0
    assert found["artscraper_webhook_deliveries_total", (("outcome", "failed"),)] == 0


def test_workers_that_all_died_are_none(config: GatewayConfig, engine: sa.Engine) -> None:
    MetricsRegistry("worker", "host").flush(engine)
    assert of(exported(config, engine), "artscraper_workers") == 1
    with engine.begin() as connection:
        connection.execute(sa.update(processes).values(seen_at=processes.c.seen_at - 61))
    assert of(exported(config, engine), "artscraper_workers") == 0


def test_a_histogram_is_what_prometheus_own_client_makes_of_it(
    config: GatewayConfig, engine: sa.Engine
) -> None:
    from prometheus_client import CollectorRegistry, Histogram, generate_latest

    registry = CollectorRegistry()
    oracle = Histogram(
        JOB_SECONDS.name, "-", ["outcome"], buckets=JOB_SECONDS.bounds, registry=registry
    )
    recorder = MetricsRegistry("worker", "a")
    for value in (0.0, 0.05, 0.050001, 0.7, 900, 901, 12_345):
        oracle.labels("done").observe(value)
        recorder.observe(JOB_SECONDS, value, "done")
    recorder.flush(engine)

    def buckets(found: Samples) -> dict[float, float]:
        return {
            float(dict(labels)["le"]): value
            for (name, labels), value in found.items()
            if name == "artscraper_job_seconds_bucket"
        }

    expected = buckets(samples(generate_latest(registry).decode()))
    assert buckets(exported(config, engine)) == expected
    assert expected[float("inf")] == 7


def test_counts_of_many_threads_are_all_there(config: GatewayConfig, engine: sa.Engine) -> None:
    recorder = MetricsRegistry("web", "a")

    def count(_: int) -> None:
        for _ in range(500):
            recorder.count(REJECTIONS, "too-large")
        recorder.flush(engine)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(8)))
    assert of(exported(config, engine), "artscraper_rejections_total", reason="too-large") == 4000


def test_what_cannot_be_kept_now_is_kept_with_the_next_flush(
    config: GatewayConfig, engine: sa.Engine
) -> None:
    recorder = MetricsRegistry("web", "a")
    recorder.count(JOBS_ACCEPTED)
    away = sa.create_engine("sqlite:///:memory:")
    with pytest.raises(sa.exc.SQLAlchemyError):
        recorder.flush(away)
    away.dispose()
    recorder.flush(engine)
    assert of(exported(config, engine), "artscraper_jobs_accepted_total") == 1


def test_the_memory_of_processes_is_told_until_they_leave_or_fall_silent(
    config: GatewayConfig, engine: sa.Engine
) -> None:
    recorder = MetricsRegistry("worker", "b")
    recorder.flush(engine)
    memory = of(exported(config, engine), "artscraper_memory_bytes", role="worker", machine="b")
    assert memory == pytest.approx(resident_bytes(), rel=0.2)
    with engine.begin() as connection:
        row = {"id": "c.1", "role": "web", "machine": "c", "memory_bytes": 7, "seen_at": 0.0}
        connection.execute(sa.insert(processes), row)
    assert of(exported(config, engine), "artscraper_memory_bytes", role="web", machine="c") == 0
    recorder.leave(engine)
    found = exported(config, engine)
    assert of(found, "artscraper_processes", role="worker", machine="b") == 0


def test_the_dashboard_asks_only_for_what_is_exported(
    config: GatewayConfig, engine: sa.Engine
) -> None:
    """Names of families are exported without samples too, and histograms with their suffixes."""
    known = set()
    for family in MetricsCollector(config, engine).collect():
        ends = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",)}
        known |= {family.name + end for end in ends.get(family.type, ("",))}
    dashboard = json.loads((REPOSITORY / "deploy/grafana/artscraper.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
        for name in _METRIC.findall(target["expr"])
    }
    assert asked and asked <= known, asked - known
    assert _families(asked) == _families(known), "a panel for each"
    alerts = (REPOSITORY / "deploy/prometheus/alerts.yml").read_text()
    assert set(_METRIC.findall(alerts)) <= known
    guide = (REPOSITORY / "docs/operations.md").read_text()
    assert _families(set(_METRIC.findall(guide))) == _families(known)


def _families(names: set[str]) -> set[str]:
    return {re.sub("_(total|bucket|count|sum)$", "", name) for name in names}


def test_a_real_job_leaves_its_figures_from_the_worker(
    start_gateway: Callable[..., GatewayProcess], picture: Callable[..., bytes]
) -> None:
    gateway = start_gateway(allow_private_addresses="yes")
    content = picture(64, 64)
    with webhook_receiver() as receiver, gateway.client() as client:
        done = client.post(
            "/v1/jobs",
            files={"file": content},
            data={"stages": "photoguard", "callback_url": receiver.url},
            headers={"Prefer": "wait=170"},
        )
        assert done.json()["status"] == "done"

        def all_there() -> Samples | None:
            found = samples(client.get("/metrics").text)
            told = of(found, "artscraper_jobs_ended_total", outcome="done")
            sent = of(found, "artscraper_webhook_deliveries_total", outcome="delivered")
            return found if told and sent else None

        found = until(all_there, what="the worker's figures are in the table")
    assert of(found, "artscraper_jobs", status="done", queue="heavy") == 1
    assert of(found, "artscraper_jobs_accepted_total") == 1
    assert of(found, "artscraper_queue_depth", queue="heavy") == 0
    assert of(found, "artscraper_stage_seconds_count", stage="photoguard") == 1
    assert of(found, "artscraper_stage_seconds_count", stage="analysis") == 1
    assert of(found, "artscraper_processor_seconds_count", processor="metadata") == 1
    assert of(found, "artscraper_encoder_load_seconds_count", encoder="bundled") == 1
    assert of(found, "artscraper_job_seconds_count", outcome="done") == 1
    assert of(found, "artscraper_received_bytes_total") > len(content)
    assert of(found, "artscraper_sent_bytes_total") > 300
    assert of(found, "artscraper_workers") == 1
    machines = {labels for name, labels in found if name == "artscraper_memory_bytes"}
    assert {dict(each)["role"] for each in machines} == {"web", "worker"}


def test_jobs_that_wait_and_problems_are_told(
    start_app: Callable[..., InProcessGateway], picture: Callable[..., bytes]
) -> None:
    gateway = start_app(worker_concurrency=0)
    with gateway.client() as client:
        client.post("/v1/jobs", files={"file": picture(64, 64)})
        client.post("/v1/jobs", files={"file": b"no picture"})
        found = samples(client.get("/metrics").text)
    assert of(found, "artscraper_jobs", status="queued", queue="heavy") == 1
    assert of(found, "artscraper_queue_depth", queue="heavy") == 1
    assert of(found, "artscraper_queue_oldest_seconds", queue="heavy") > 0
    assert of(found, "artscraper_rejections_total", reason="unsupported-picture") == 1
    assert of(found, "artscraper_http_requests_total", status="415") == 1


def test_callers_cannot_make_labels(client: httpx.Client, picture: Callable[..., bytes]) -> None:
    def labels() -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        return {key for key in samples(client.get("/metrics").text) if "le" not in dict(key[1])}

    marks = [f"forged{number}" for number in range(30)]
    for mark in marks:
        client.get(f"/{mark}")
        client.get(f"/v1/jobs/{mark}", headers={"X-Request-Id": mark, "Host": mark})
        client.request(mark.upper(), "/v1/jobs")
        client.post("/v1/jobs", files={"file": (mark, b"")}, data={"encoder": mark})
        client.post("/v1/jobs", files={"file": picture(64, 64)}, data={"stages": mark})
    assert not any("forged" in value.lower() for _, pairs in labels() for _, value in pairs)
    assert len(labels()) < 150


def test_two_web_processes_tell_the_same(
    tmp_path: Path, start_gateway: Callable[..., GatewayProcess], picture: Callable[..., bytes]
) -> None:
    first = start_gateway(worker_concurrency=0)
    second = start_gateway(worker_concurrency=0)  # over the same folders
    assert first.base_dir == second.base_dir
    for gateway in (first, second):
        with gateway.client() as client:
            client.post("/v1/jobs", files={"file": picture(64, 64)})

    def both_tell_two() -> bool:
        told = []
        for gateway in (first, second):
            with gateway.client() as client:
                found = samples(client.get("/metrics").text)
                told.append(of(found, "artscraper_jobs_accepted_total"))
        return told == [2, 2]

    until(both_tell_two, what="each tells what both have accepted")
