"""The queue that a job waits in."""

from __future__ import annotations

import pytest

from artscraper_gateway.jobs.queue import CPU, GPU, PASSTHROUGH, queue_for
from artscraper_gateway.jobs.request import JobRequest


def request(*stages: str) -> JobRequest:
    return JobRequest(stages=stages, include_protection=bool(stages), include_hash_analysis=False)


@pytest.mark.parametrize("stage", ["fawkes", "photoguard", "mist", "nightshade"])
def test_neural_stages_use_the_gpu_queue(stage: str) -> None:
    assert queue_for(request("invisible-watermark", stage), gpu_queue=True) == GPU
    assert queue_for(request("invisible-watermark", stage), gpu_queue=False) == CPU


def test_jobs_without_encoder_do_not_wait_for_gpu() -> None:
    assert queue_for(request("invisible-watermark", "c2pa"), gpu_queue=True) == CPU
    assert queue_for(request(), gpu_queue=True) == PASSTHROUGH
