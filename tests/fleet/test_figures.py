"""Many processes add to one table of figures, on either database, and nothing is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.observability.metrics import (
    JOBS_ACCEPTED,
    REJECTIONS,
    STAGE_SECONDS,
    MetricsRegistry,
)
from artscraper_gateway.observability.prometheus import MetricsCollector
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import until

_LABELS = [f"stage-{number}" for number in range(5)]


def _flushed(recorder: MetricsRegistry, engine: sa.Engine) -> bool:
    try:
        recorder.flush(engine)
    except sa.exc.OperationalError:
        return False
    return True


def test_what_processes_count_at_once_is_added_up(database: dict[str, Any], tmp_path: Path) -> None:
    config = GatewayConfig(base_dir=tmp_path / "jobs", output_parent=tmp_path, **database)
    engine = open_engine(config)

    def work(number: int) -> None:
        recorder = MetricsRegistry("worker", f"machine-{number}")
        labels = _LABELS if number % 2 else _LABELS[::-1]  # an order each, as real ones have
        for _ in range(20):
            for label in labels:
                recorder.observe(STAGE_SECONDS, 0.5, label)
                recorder.count(REJECTIONS, label)
            recorder.count(JOBS_ACCEPTED)
            with suppress(sa.exc.OperationalError):  # it gives up soon, and loses nothing
                recorder.flush(engine)
        until(lambda: _flushed(recorder, engine), what="all is flushed")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    text = MetricsCollector(config, engine).render("text/plain")[0].decode()
    engine.dispose()
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "le" not in sample.labels
    }
    assert found["artscraper_jobs_accepted_total",] == 80
    for label in _LABELS:
        assert found["artscraper_rejections_total", label] == 80
        assert found["artscraper_stage_seconds_count", label] == 80
        assert found["artscraper_stage_seconds_sum", label] == 40
