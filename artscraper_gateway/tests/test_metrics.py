"""The metrics: added up over processes, kept over restarts, labels from fixed sets."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.db.tables import workers
from artscraper_gateway.observability.metric_files import MetricFiles
from artscraper_gateway.observability.metrics import Metrics
from artscraper_gateway.observability.prometheus import (
    MetricsCollector,
    MetricsPortUnusable,
    WorkerCensus,
    resident_bytes,
    start_metrics_server,
)
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.paths import machine_name
from artscraper_gateway.tests.gateway_process import REPOSITORY, GatewayProcess, until
from artscraper_gateway.tests.support.in_process import InProcessGateway
from artscraper_gateway.tests.webhook_receiver import webhook_receiver

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
_METRIC = re.compile(r"\bartscraper_(?!gateway|runner)\w+")
_COUNT = """
import sys
from artscraper_gateway.observability.metrics import Metrics
from artscraper_gateway.settings.model import GatewayConfig

metrics = Metrics(GatewayConfig(base_dir=sys.argv[1]), "worker")
for _ in range(200):
    metrics.jobs_accepted.inc()
    metrics.stage_seconds.labels("mist").observe(0.5)
print("counted", flush=True)
if len(sys.argv) > 2:
    sys.stdin.read()
"""


@pytest.fixture
def config(tmp_path: Path) -> GatewayConfig:
    return GatewayConfig(base_dir=tmp_path / "jobs", output_parent=tmp_path)


@pytest.fixture
def engine(config: GatewayConfig) -> Iterator[sa.Engine]:
    engine = open_engine(config)
    yield engine
    engine.dispose()


@pytest.fixture
def metrics(config: GatewayConfig) -> Metrics:
    return Metrics(config, "web")


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def exported(metrics: Metrics, config: GatewayConfig, engine: sa.Engine | None = None) -> Samples:
    return samples(MetricsCollector(config, metrics, engine).render("text/plain")[0].decode())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def value(found: Samples, name: str, **labels: str) -> float:
    return found.get((name, tuple(sorted(labels.items()))), 0.0)


def counting_process(config: GatewayConfig, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _COUNT, str(config.base_dir), *options],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.system
def test_metrics_of_processes_are_summed_and_kept_after_their_end(config: GatewayConfig) -> None:
    processes = [counting_process(config) for _ in range(3)]
    for process in processes:
        process.communicate(timeout=60)
    metrics = Metrics(config, "web")  # merges the files of the three
    names = {path.name for path in metrics.files.folder.iterdir()}
    assert names == {
        f"{kind}_{process}.db"
        for kind in ("counter", "histogram")
        for process in ("ended", f"web-{os.getpid()}")
    }
    metrics.jobs_accepted.inc()
    metrics.stage_seconds.labels("mist").observe(31)
    found = exported(metrics, config)
    assert value(found, "artscraper_jobs_accepted_total") == 601
    assert value(found, "artscraper_stage_seconds_count", stage="mist") == 601
    assert value(found, "artscraper_stage_seconds_sum", stage="mist") == 331
    assert value(found, "artscraper_stage_seconds_bucket", stage="mist", le="0.25") == 0
    assert value(found, "artscraper_stage_seconds_bucket", stage="mist", le="30.0") == 600
    assert value(found, "artscraper_stage_seconds_bucket", stage="mist", le="+Inf") == 601


@pytest.mark.system
def test_metrics_of_a_killed_process_are_kept(config: GatewayConfig) -> None:
    process = counting_process(config, "wait")
    assert process.stdout is not None and process.stdout.readline() == "counted\n"
    metrics = Metrics(config, "web")
    running = exported(metrics, config)
    assert value(running, "artscraper_jobs_accepted_total") == 200
    machine = machine_name()
    assert value(running, "artscraper_processes", role="worker", machine=machine) == 1
    memory = value(running, "artscraper_memory_bytes", role="worker", machine=machine)
    assert memory == pytest.approx(resident_bytes(process.pid), rel=0.2)
    process.kill()
    process.communicate(timeout=60)
    killed = exported(metrics, config)
    assert value(killed, "artscraper_jobs_accepted_total") == 200
    assert value(killed, "artscraper_processes", role="worker", machine=machine) == 0


def test_merging_ended_processes_twice_counts_them_once(config: GatewayConfig) -> None:
    metrics = Metrics(config, "web")
    metrics.jobs_accepted.inc(7)
    metrics.job_seconds.labels("done").observe(0.7)
    for round_number in (1, 2):
        for kind in ("counter", "histogram"):
            written = metrics.files.folder / f"{kind}_web-{os.getpid()}.db"
            (metrics.files.folder / f"{kind}_worker-{2**22 + round_number}.db").write_bytes(
                written.read_bytes()
            )
        metrics.files.prepare("web-1")
        found = exported(metrics, config)
        assert value(found, "artscraper_jobs_accepted_total") == 7 * (1 + round_number)
        counts = value(found, "artscraper_job_seconds_count", outcome="done")
        assert counts == 1 + round_number


def test_damaged_metrics_file_is_skipped(
    config: GatewayConfig, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    metrics.jobs_accepted.inc()
    damaged = metrics.files.folder / f"counter_worker-{os.getpid()}.db"
    damaged.write_bytes(b"\xff\xff\x00\x00" + b"\x7f" * 100)
    assert value(exported(metrics, config), "artscraper_jobs_accepted_total") == 1
    assert damaged.name in caplog.text and str(damaged.parent) not in caplog.text


def test_metrics_files_are_preallocated_and_private(metrics: Metrics) -> None:
    for path in metrics.files.folder.iterdir():
        status = path.stat()
        assert status.st_mode & 0o777 == 0o600
        assert status.st_blocks * 512 >= status.st_size, "a hole is filled when the disk is full"


def test_prepare_on_a_full_disk_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class _Full:
        def __enter__(self) -> _Full:
            return self

        def __exit__(self, *_: object) -> None: ...

        def seek(self, *_: object) -> None: ...

        def tell(self) -> int:
            return 0

        def write(self, _content: bytes) -> None:
            raise OSError(28, "No space left on device")

    files = MetricFiles(tmp_path / "metrics")
    monkeypatch.setattr(os, "fdopen", lambda descriptor, _mode: os.close(descriptor) or _Full())
    with pytest.raises(OSError, match="No space"):
        files.prepare("web-1")
    assert not list(files.folder.iterdir())


def test_outcomes_are_exported_before_the_first_one(
    config: GatewayConfig, metrics: Metrics
) -> None:
    """Else the first failure is no increase, and no alert fires."""
    found = exported(metrics, config)
    assert found["artscraper_jobs_ended_total", (("outcome", "failed"),)] == 0
    assert found["artscraper_webhook_deliveries_total", (("outcome", "failed"),)] == 0


def test_counts_of_many_threads_are_complete(config: GatewayConfig, metrics: Metrics) -> None:
    def count(_: int) -> None:
        for _ in range(500):
            metrics.rejections.labels("too-large").inc()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(8)))
    found = exported(metrics, config)
    assert value(found, "artscraper_rejections_total", reason="too-large") == 4000


def test_worker_census_counts_workers_whose_heartbeat_advances(engine: sa.Engine) -> None:
    now = 100.0
    census = WorkerCensus(clock=lambda: now)

    def count() -> int:
        with engine.connect() as connection:
            return census.count(connection)

    with engine.begin() as connection:
        rows = [{"id": each, "name": each, "beats": 1} for each in ("dead", "alive")]
        connection.execute(sa.insert(workers), rows)
    assert count() == 2
    now += 59
    with engine.begin() as connection:
        connection.execute(sa.update(workers).where(workers.c.id == "alive").values(beats=2))
    assert count() == 2
    now += 2
    assert count() == 1
    now += 60
    assert count() == 0


def test_start_metrics_server_answers_without_a_database(config: GatewayConfig) -> None:
    port = free_port()
    served = config.model_copy(update={"metrics_port": port})
    metrics = Metrics(served, "worker")
    metrics.stage_failures.labels("mist").inc()
    threads = set(threading.enumerate())
    start_metrics_server(MetricsCollector(served, metrics))
    (thread,) = set(threading.enumerate()) - threads
    assert thread.daemon
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    assert value(samples(text), "artscraper_stage_failures_total", stage="mist") == 1
    assert "artscraper_database_up" not in text
    with pytest.raises(MetricsPortUnusable, match=f"port {port}: .* --metrics-port"):
        start_metrics_server(MetricsCollector(served, metrics))


def test_dashboard_alerts_and_guide_name_every_metric(
    config: GatewayConfig, metrics: Metrics, engine: sa.Engine
) -> None:
    """Families are exported without samples too, and histograms with their suffixes."""
    names = set()
    for family in MetricsCollector(config, metrics, engine).collect():
        ends = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",)}
        names |= {family.name + end for end in ends.get(family.type, ("",))}
    dashboard = json.loads((REPOSITORY / "deploy/grafana/artscraper.json").read_text())
    queried = {
        name
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
        for name in _METRIC.findall(target["expr"])
    }
    assert queried and queried <= names, queried - names
    assert _families(queried) == _families(names), "a panel for each"
    alerts = (REPOSITORY / "deploy/prometheus/alerts.yml").read_text()
    assert set(_METRIC.findall(alerts)) <= names
    guide = (REPOSITORY / "docs/operations.md").read_text()
    assert _families(set(_METRIC.findall(guide))) == _families(names)


def _families(names: set[str]) -> set[str]:
    return {re.sub("_(total|bucket|count|sum)$", "", name) for name in names}


def test_metrics_count_jobs_of_a_worker_process(
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
            ended = value(found, "artscraper_jobs_ended_total", outcome="done")
            sent = value(found, "artscraper_webhook_deliveries_total", outcome="delivered")
            return found if ended and sent else None

        found = until(all_there, what="the webhook is delivered")
    assert value(found, "artscraper_jobs", status="done", queue="heavy") == 1
    assert value(found, "artscraper_jobs_accepted_total") == 1
    assert value(found, "artscraper_queue_depth", queue="heavy") == 0
    assert value(found, "artscraper_stage_seconds_count", stage="photoguard") == 1
    assert value(found, "artscraper_stage_seconds_count", stage="analysis") == 1
    assert value(found, "artscraper_processor_seconds_count", processor="metadata") == 1
    assert value(found, "artscraper_encoder_load_seconds_count", encoder="bundled") == 1
    assert value(found, "artscraper_job_seconds_count", outcome="done") == 1
    assert value(found, "artscraper_received_bytes_total") > len(content)
    assert value(found, "artscraper_sent_bytes_total") > 300
    assert value(found, "artscraper_workers") == 1
    machines = {labels for name, labels in found if name == "artscraper_memory_bytes"}
    assert {dict(each)["role"] for each in machines} == {"web", "worker"}


def test_metrics_count_queued_jobs_and_problems(
    start_app: Callable[..., InProcessGateway], picture: Callable[..., bytes]
) -> None:
    gateway = start_app(worker_concurrency=0)
    with gateway.client() as client:
        client.post("/v1/jobs", files={"file": picture(64, 64)})
        client.post("/v1/jobs", files={"file": b"no picture"})
        found = samples(client.get("/metrics").text)
    assert value(found, "artscraper_jobs", status="queued", queue="heavy") == 1
    assert value(found, "artscraper_queue_depth", queue="heavy") == 1
    assert value(found, "artscraper_queue_oldest_seconds", queue="heavy") > 0
    assert value(found, "artscraper_rejections_total", reason="unsupported-picture") == 1
    assert value(found, "artscraper_http_requests_total", status="415") == 1


def test_metrics_have_no_labels_from_requests(
    client: httpx.Client, picture: Callable[..., bytes]
) -> None:
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


def test_two_web_processes_export_the_same_counters(
    tmp_path: Path, start_gateway: Callable[..., GatewayProcess], picture: Callable[..., bytes]
) -> None:
    first = start_gateway(worker_concurrency=0)
    second = start_gateway(worker_concurrency=0)  # over the same folders
    assert first.base_dir == second.base_dir
    for gateway in (first, second):
        with gateway.client() as client:
            client.post("/v1/jobs", files={"file": picture(64, 64)})

    for gateway in (first, second):
        with gateway.client() as client:
            found = samples(client.get("/metrics").text)
            assert value(found, "artscraper_jobs_accepted_total") == 2


def test_worker_command_serves_metrics(
    start_gateway: Callable[..., GatewayProcess], picture: Callable[..., bytes]
) -> None:
    gateway = start_gateway(worker_concurrency=0)
    port = free_port()
    options = [f"--base-dir={gateway.base_dir}", f"--output-parent={gateway.outputs}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "artscraper_gateway", "worker", f"--metrics-port={port}", *options],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    try:
        with gateway.client() as client:
            client.post(
                "/v1/jobs",
                files={"file": picture(64, 64)},
                data={"include_protection": "no", "include_hash_analysis": "no"},
                headers={"Prefer": "wait=170"},
            )
        found = samples(httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).text)
    finally:
        process.terminate()
        process.wait(timeout=60)
    assert value(found, "artscraper_jobs_ended_total", outcome="done") == 1
    roles = {dict(labels)["role"] for name, labels in found if name == "artscraper_processes"}
    assert roles == {"web", "supervisor", "worker"}
