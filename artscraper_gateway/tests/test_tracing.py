"""A trace goes from a caller's request through the gateway to the stages in the worker."""

from __future__ import annotations

import gzip
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from artscraper_gateway.observability.tracing import Tracing
from artscraper_gateway.tests.gateway_process import GatewayProcess

pytestmark = pytest.mark.system

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"


@dataclass
class Collector:
    """The spans sent to an OTLP receiver, and the services that sent them."""

    url: str = ""
    spans: list[Any] = field(default_factory=list)
    services: set[str] = field(default_factory=set)

    def named(self, name: str) -> Any:
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def attributes(self, name: str) -> dict[str, Any]:
        pairs = self.named(name).attributes
        return {pair.key: pair.value.string_value or pair.value.int_value for pair in pairs}


@contextmanager
def collector() -> Iterator[Collector]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = ExportTraceServiceRequest()
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            request.ParseFromString(body)
            for resource in request.resource_spans:
                for pair in resource.resource.attributes:
                    if pair.key == "service.name":
                        found.services.add(pair.value.string_value)
                for scope in resource.scope_spans:
                    found.spans.extend(scope.spans)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_trace_covers_job_and_stages(tmp_path: Path, picture: Callable[..., bytes]) -> None:
    with collector() as found:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": found.url, "OTEL_SERVICE_NAME": "studio"}
        gateway = GatewayProcess(tmp_path, {}, environment=environment).start()
        try:
            with gateway.client() as client:
                for probe in ("/livez", "/readyz", "/metrics"):
                    assert client.get(probe).status_code == 200
                heavy = client.post(
                    "/v1/jobs",
                    files={"file": picture(64, 64)},
                    data={"stages": "invisible-watermark"},
                    headers={
                        "traceparent": TRACEPARENT,
                        "X-Request-Id": "r-1",
                        "Prefer": "wait=170",
                    },
                )
                assert heavy.json()["status"] == "done"
        finally:
            gateway.stop()  # what was not sent yet is sent at the end
    submitted, job = found.named("POST /v1/jobs"), found.named("job")
    stage = found.named("stage invisible-watermark")
    for span in (submitted, job, stage):
        assert span.trace_id.hex() == TRACE
    assert submitted.parent_span_id.hex() == SPAN
    assert job.parent_span_id == submitted.span_id
    assert stage.parent_span_id == job.span_id
    assert {f"stage {name}" for name in ("original", "analysis", "summary")} <= {
        span.name for span in found.spans
    }
    assert not [span.name for span in found.spans if span.name.startswith("GET ")], "of probes"
    assert found.services == {"studio"}
    assert found.attributes("job")["job.id"] == heavy.json()["job_id"]
    request_span = found.attributes("POST /v1/jobs")
    assert request_span["http.response.status_code"] == 200 and request_span["request.id"] == "r-1"


def test_tracing_survives_an_unreachable_collector(
    tmp_path: Path, picture: Callable[..., bytes]
) -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    gateway = GatewayProcess(tmp_path, {}, environment=environment).start()
    with gateway.client() as client:
        data = {"include_protection": "false", "include_hash_analysis": "false"}
        done = client.post(
            "/v1/jobs",
            files={"file": picture(64, 64)},
            data=data,
            headers={"Prefer": "wait=170", "traceparent": "nonsense"},
        )
        assert done.json()["status"] == "done"
    assert gateway.stop() < 30


def test_spans_have_the_error_type_without_its_message() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with pytest.raises(ValueError, match="secret"), Tracing(provider).span("stage mist"):
        raise ValueError("secret")
    (span,) = exporter.get_finished_spans()
    assert span.status.description == "ValueError" and not span.status.is_ok
    assert "secret" not in span.to_json()


def test_no_endpoint_means_no_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    tracing = Tracing()
    tracing.start()
    with tracing.span("job") as span:
        assert span is None and tracing.carrier() == {}


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")]
)
def test_environment_disables_tracing(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv(name, value)
    tracing = Tracing()
    tracing.start()
    assert tracing.provider is None


@pytest.mark.parametrize(
    ("environment", "service", "warning"),
    [
        ({}, "artscraper-gateway", ""),
        ({"OTEL_TRACES_EXPORTER": ""}, "artscraper-gateway", ""),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=mine,team=red"}, "mine", ""),
        ({"OTEL_SERVICE_NAME": "studio"}, "studio", ""),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, "artscraper-gateway", "console"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "artscraper-gateway", "http/protobuf"),
    ],
)
def test_tracing_follows_or_reports_otel_variables(
    environment: dict[str, str],
    service: str,
    warning: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    tracing = Tracing()
    tracing.start()
    assert tracing.provider is not None
    assert tracing.provider.resource.attributes["service.name"] == service
    assert warning in caplog.text and bool(warning) == bool(caplog.records)
    tracing.stop()


def test_tracing_warns_of_a_missing_package(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    tracing = Tracing()
    tracing.start()
    assert tracing.provider is None
    assert "artscraper-gateway[otel]" in caplog.text
