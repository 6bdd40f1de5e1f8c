"""Poll and progress intervals of a running stage, with a fake clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.jobs.leases import Heartbeats
from artscraper_gateway.jobs.models import Job, NewJob
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.jobs.request import JobRequest
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.objects import open_storage
from artscraper_gateway.worker.steps import JobSteps
from artscraper_runner import Cancelled, Controls, Progress
from artscraper_runner.attacks.constraints import Box
from artscraper_runner.attacks.pgd import optimise
from artscraper_runner.attacks.presets import StepRule

JOB_ID = "a" * 32
REQUEST = JobRequest()
RULE = StepRule(iterations=500, first_step=0.1, last_step=0.1, momentum=0.0, start_noise=0.0)
PICTURE = np.full((1, 3, 2, 2), 0.5, np.float32)
CANCELLED_AT = 100  # the iteration in which it happens


class Clock:
    """A replacement of `time.monotonic`."""

    now_s = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now_s)
    return clock


@pytest.fixture
def steps(tmp_path: Path, clock: Clock) -> Iterator[JobSteps]:
    """The steps of a job that runs in its stage `mist`."""
    config = GatewayConfig(base_dir=tmp_path / "gateway_jobs", output_parent=tmp_path / "outputs")
    store = JobStore(open_engine(config))
    heart = Heartbeats(store.engine, "host.slot-0", missed_beats_limit=3)
    heart.register()
    with store.engine.begin() as connection:
        job = store.add(connection, NewJob(JOB_ID, "image.png", REQUEST, "heavy"))
    assert store.begin_stage(JOB_ID, "mist", worker=heart.id) == 1
    yield JobSteps(job, config, store, open_storage(config), heart.id, lambda _: nullcontext())
    store.engine.dispose()


def found(steps: JobSteps) -> Job:
    job = steps.store.find(JOB_ID)
    assert job is not None
    return job


def test_progress_is_limited_to_two_events_a_second(steps: JobSteps, clock: Clock) -> None:
    told_at, revision = [], found(steps).revision
    for done in range(256):
        steps._on_progress(Progress("mist", done, 256))
        if found(steps).revision != revision:
            told_at.append(clock.now_s - 1000)
            revision = found(steps).revision
        clock.now_s += 1 / 64
    assert told_at == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]


@pytest.mark.parametrize("step_s", [1 / 64, 0.5])
def test_cancellation_is_polled_five_times_a_second(
    steps: JobSteps, clock: Clock, step_s: float
) -> None:
    taken: list[int] = []

    def score(picture: np.ndarray, iteration: int) -> tuple[float, np.ndarray]:
        taken.append(iteration)
        clock.now_s += step_s
        if iteration == CANCELLED_AT:
            assert steps.store.cancel(JOB_ID)
        return float(picture.sum()), np.ones_like(picture)

    start, bound = np.zeros_like(PICTURE), np.full((1, 1, 2, 2), 0.1, np.float32)
    with pytest.raises(Cancelled):
        optimise(
            PICTURE,
            start=start,
            constraint=Box(PICTURE, start, bound),
            objective=score,
            rule=RULE,
            seed=0,
            controls=Controls(steps._on_progress, steps._should_stop),
        )
    assert taken[-1] - CANCELLED_AT <= 0.2 / step_s
    job = found(steps)
    assert job.error_code == "cancelled"
    with steps.store.engine.connect() as connection:
        rows = connection.exec_driver_sql("select kind from events order by seq").scalars()
        assert list(rows)[-1] == "error", "progress came after the end"


class _Run:
    """Records which stage is applied ahead."""

    def __init__(self) -> None:
        self.ahead: list[str | None] = []

    def protect(self, name: str, index: int, *, following: str | None) -> dict[str, str]:
        self.ahead.append(following)
        return {"stage": name}


@pytest.mark.parametrize(
    ("attempts", "most", "ahead"), [(1, 3, "photoguard"), (2, 3, None), (1, 1, None)]
)
def test_stage_is_applied_ahead_at_a_first_attempt_that_is_not_the_last(
    steps: JobSteps, attempts: int, most: int, ahead: str | None
) -> None:
    run, stages = _Run(), ("fawkes", "photoguard", "stegano-embed")
    steps.job = replace(steps.job, request=REQUEST.model_copy(update={"stages": stages}))
    steps.config = steps.config.model_copy(update={"max_stage_attempts": most})
    steps._attempts = attempts
    steps._protect(run, "fawkes", 1)  # type: ignore[arg-type]
    steps._protect(run, "photoguard", 2)  # type: ignore[arg-type]
    steps._protect(run, "stegano-embed", 3)  # type: ignore[arg-type]
    assert run.ahead == [ahead, None, None]
