"""OpenTelemetry spans: a request, the job that it led to, each stage of it in the worker.

Without OTEL_EXPORTER_OTLP_ENDPOINT, OpenTelemetry is not imported and a
span costs nothing. The context goes with the job's row, so that a trace begun by a caller's own
`traceparent` ends in the stages, whichever machine runs them. Spans hold ids, names of stages and
kinds of errors: no address, no message, no content.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

_log = logging.getLogger(__name__)
SERVICE = "artscraper-gateway"
_LAST_SPANS_S = 3.0
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
_PROTOCOL = "http/protobuf"
Carrier = dict[str, str]  # W3C trace context: traceparent, tracestate


@dataclass
class Tracing:
    """The spans of one process; none before `start`."""

    provider: TracerProvider | None = None

    def start(self) -> None:
        """Start exporting spans, if the environment names an endpoint."""
        if self.provider is None and _is_wanted():
            self.provider = _exporting_provider()

    def stop(self) -> None:
        """Send the remaining spans, within a time limit; no span is created later."""
        if self.provider is not None:
            last = threading.Thread(target=self.provider.shutdown, daemon=True)
            last.start()
            last.join(_LAST_SPANS_S)
            self.provider = None

    @contextmanager
    def span(
        self,
        name: str,
        *,
        kind: Literal["internal", "server", "consumer"] = "internal",
        parent: Mapping[str, str] | None = None,
        **attributes: str | int | float,
    ) -> Iterator[Span | None]:
        """Make a span of the block, below `parent` or the span that is open; None: no tracing."""
        if self.provider is None:
            yield None
            return
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        with self.provider.get_tracer("artscraper_gateway").start_as_current_span(
            name,
            context=TraceContextTextMapPropagator().extract(parent) if parent else None,
            kind=trace.SpanKind[kind.upper()],
            attributes={key.replace("__", "."): value for key, value in attributes.items()},
            record_exception=False,  # its message may hold private data
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_status(trace.StatusCode.ERROR, type(error).__name__)
                raise

    def carrier(self) -> Carrier:
        """Return the context of the span that is open, for another process; {} for none."""
        if self.provider is None:
            return {}
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier: Carrier = {}
        TraceContextTextMapPropagator().inject(carrier)
        return carrier


def _is_wanted() -> bool:
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if not any(os.environ.get(name) for name in _ENDPOINTS):
        return False
    exporters = os.environ.get("OTEL_TRACES_EXPORTER", "").replace(" ", "").split(",")
    others = set(exporters) - {"", "otlp", "none"}
    if others:
        _log.warning("OTEL_TRACES_EXPORTER: only otlp and none are known here, not %s", others)
    return "otlp" in exporters or exporters == [""]


def _exporting_provider() -> TracerProvider | None:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        _log.warning(
            "OTEL_* is set, but no traces are exported: the package %s is missing;"
            " pip install 'artscraper-gateway[otel]'",
            error.name,
        )
        return None
    for name in _PROTOCOLS:
        if os.environ.get(name, _PROTOCOL) not in ("", _PROTOCOL):
            _log.warning("%s: traces are sent as %s, which is all there is", name, _PROTOCOL)
    resource = Resource.create()  # as OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have it
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: SERVICE}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
