"""Object storage refuses, fails or is away: jobs wait, and nothing is accepted that is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from artscraper_gateway.tests.gateway_process import until
from artscraper_gateway.tests.stages_for_tests.stages_that_misbehave import GATE_WIDTH
from artscraper_gateway.tests.support.cutting_proxy import cutting_proxy
from tests.fleet.fleet import Fleet
from tests.fleet.servers import S3Server

JOBS = 2
ONE_TRY = {"AWS_MAX_ATTEMPTS": "1"}  # the gateway's own retries are the subject, not botocore's
OUTAGES = {
    "403": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "503": b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "away": b"",
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_jobs_wait_until_object_storage_is_back(
    start_fleet: Callable[..., Fleet], s3: S3Server, picture: Callable[..., bytes], outage: str
) -> None:
    import s3fs  # takes a second

    url = s3.environment["AWS_ENDPOINT_URL"]
    bucket = f"outage-{outage}"
    s3fs.S3FileSystem(endpoint_url=url, key="test", secret="test").mkdir(bucket)
    with cutting_proxy(url) as proxy:
        environment = {**s3.environment, **ONE_TRY, "AWS_ENDPOINT_URL": proxy.url}
        fleet = start_fleet({"output_parent": f"s3://{bucket}"}, environment)
        worker = fleet.ready_worker(0)
        ids = [fleet.submit(picture(GATE_WIDTH)), *(fleet.submit(picture()) for _ in range(JOBS))]
        fleet.entered()
        proxy.begin_outage(OUTAGES[outage])
        fleet.open_gate()

        def waits() -> dict[str, Any] | None:
            job = fleet.job(ids[0])
            assert job["status"] in ("queued", "running"), (job["error"], fleet.logs())
            return job if job["retry_at"] else None

        assert until(waits, what="it waits for storage")["retry_reason"]
        with fleet.web.client() as client:
            until(lambda: client.get("/readyz").status_code == 503, what="storage has failed")
            assert client.get("/readyz").json()["code"] == "storage-failed"
            refused = client.post("/v1/jobs", files={"file": picture()})
            assert refused.status_code == 503, refused.text
            assert refused.json()["code"] == "storage-failed" and "outage" not in refused.text
        proxy.outage = None
        ended = [fleet.ended(job_id) for job_id in ids]
        assert [(job["status"], job["error"]) for job in ended] == [("done", None)] * len(ids)
        assert worker.process.poll() is None, "the worker outlived the outage"
        assert fleet.ended(fleet.submit(picture()))["status"] == "done"
        fleet.stop()
