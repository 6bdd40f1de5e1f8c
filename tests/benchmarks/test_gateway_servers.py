"""Servers of benchmarks print nothing between the tables."""

import httpx
import pytest

from artscraper_gateway.tests.conftest import picture  # noqa: F401  a fixture
from benchmarks.service.gateway_servers import gateway

pytestmark = pytest.mark.system


def test_gateway_of_a_benchmark_prints_nothing(
    picture,  # noqa: F811  the fixture
    capfd: pytest.CaptureFixture[str],
) -> None:
    with gateway(None) as url, httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
        fields = {"include_protection": "no", "include_hash_analysis": "no"}
        headers = {"Prefer": "wait=60"}
        job = client.post(
            "/v1/jobs", files={"file": picture()}, data=fields, headers=headers
        ).json()
        assert job["status"] == "done"
        client.delete(f"/v1/jobs/{job['job_id']}").raise_for_status()
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
