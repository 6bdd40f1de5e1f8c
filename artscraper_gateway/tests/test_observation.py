"""Around every request: an id that comes back whatever happens, and a count."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx
import pytest
from fastapi import FastAPI

from artscraper_gateway.api.middleware import Observation
from artscraper_gateway.api.problems import add_problem_handlers
from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.errors import NotFound
from artscraper_gateway.observability.metrics import Metrics
from artscraper_gateway.observability.prometheus import MetricsCollector
from artscraper_gateway.observability.tracing import Tracing
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.test_metrics import exported, value


@dataclass(frozen=True)
class Client:
    """A client of an app in this process; exceptions are converted as a server would."""

    app: FastAPI

    def get(self, path: str, headers: dict[str, str | bytes] | None = None) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                return await client.get(path, headers=headers)

        return anyio.run(ask)


@pytest.fixture
def config(tmp_path: Path) -> GatewayConfig:
    return GatewayConfig(base_dir=tmp_path)


@pytest.fixture
def metrics(config: GatewayConfig) -> Metrics:
    return Metrics(config, "web")


@pytest.fixture
def client(metrics: Metrics) -> Client:
    app = FastAPI()
    app.state.metrics = metrics
    add_problem_handlers(app)
    app.add_middleware(Observation, tracing=Tracing())

    @app.get("/well")
    def answer() -> str:
        return "well"

    @app.get("/missing")
    def miss() -> str:
        raise NotFound("nothing here")

    @app.get("/broken")
    def fail() -> str:
        raise KeyError("/secret/server/path")

    return Client(app)


@pytest.mark.parametrize("path", ["/well", "/missing", "/broken", "/no/such/route"])
def test_responses_have_the_request_id(client: Client, path: str) -> None:
    answer = client.get(path, headers={"X-Request-Id": "Order_6.6-a"})
    assert answer.headers.get_list("x-request-id") == ["Order_6.6-a"]


@pytest.mark.parametrize("path", ["/well", "/broken"])
@pytest.mark.parametrize(
    "given", [None, "", "a b", "a" * 65, "a\tb", "<b>", "a;b", "ä", "x=1", "a,b"]
)
def test_malformed_request_ids_are_replaced(client: Client, path: str, given: str | None) -> None:
    headers: dict[str, str | bytes] = {} if given is None else {"X-Request-Id": given.encode()}
    made = client.get(path, headers=headers).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert made != client.get(path, headers=headers).headers["x-request-id"]


def test_observation_counts_responses_by_status_and_problems_by_code(
    client: Client, metrics: Metrics, config: GatewayConfig
) -> None:
    for path in ("/well", "/missing", "/broken", "/broken"):
        client.get(path)
    found = exported(metrics, config)
    statuses = {
        status: value(found, "artscraper_http_requests_total", status=status)
        for status in ("200", "404", "500")
    }
    assert statuses == {"200": 1, "404": 1, "500": 2}
    assert value(found, "artscraper_rejections_total", reason="not-found") == 1
    assert value(found, "artscraper_rejections_total", reason="internal-error") == 2


def test_observation_measures_latency_by_method_and_route(
    client: Client, metrics: Metrics, config: GatewayConfig
) -> None:
    client.get("/well")
    client.get("/no/such/route")
    engine = open_engine(config)
    text = MetricsCollector(config, metrics, engine).render("")[0].decode()
    engine.dispose()
    for route in ("/well", "none"):
        line = f'artscraper_http_request_seconds_count{{method="GET",route="{route}"}} 1.0'
        assert line in text
    assert "artscraper_database_up 1.0" in text
    assert "process_resident_memory_bytes" in text


def test_metrics_without_the_database_have_the_counters(
    metrics: Metrics, config: GatewayConfig, caplog: pytest.LogCaptureFixture
) -> None:
    metrics.jobs_accepted.inc()
    engine = open_engine(config)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE jobs")
    for _ in range(3):
        text = MetricsCollector(config, metrics, engine).render("")[0].decode()
    engine.dispose()
    assert caplog.text.count("without the database") == 1, "not at each scrape"
    assert "artscraper_database_up 0.0" in text
    assert "artscraper_jobs_accepted_total 1.0" in text
    assert "artscraper_queue_limit" in text and "process_cpu_seconds_total" in text
    assert "artscraper_jobs{" not in text
