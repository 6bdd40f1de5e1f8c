"""Clocks are stepped by an hour: jobs end once, their times in order, and webhooks go out."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import pytest
import sqlalchemy as sa

from artscraper_gateway.jobs.models import Job, NewJob, Outcome
from artscraper_gateway.jobs.repository import JobStore, events_after
from artscraper_gateway.jobs.request import JobRequest
from artscraper_gateway.tests.gateway_process import until
from artscraper_gateway.tests.stages_for_tests.stages_that_misbehave import GATE_WIDTH
from artscraper_gateway.tests.test_control import rows
from artscraper_gateway.tests.webhook_receiver import webhook_receiver
from artscraper_gateway.webhooks.repository import Attempt, DeliveryLog
from tests.fleet.fleet import Fleet, registered

Start = Callable[..., Fleet]
Picture = Callable[..., bytes]
HOUR_S = 3600.0
JOB_ID = "ab" * 16


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
def test_clock_step_keeps_job_times_ordered(
    start_fleet: Start, picture: Picture, step_s: float
) -> None:
    fleet = start_fleet({"allow_private_addresses": "yes"}, {"CLOCK_STEPS": "yes"})
    worker = fleet.ready_worker(0)
    with webhook_receiver() as receiver:
        job_id = fleet.submit(picture(GATE_WIDTH), callback_url=receiver.url)
        fleet.entered()
        (fleet.home / "clock-step").write_text(str(step_s))
        fleet.open_gate()
        job = fleet.ended(job_id)
        assert job["status"] == "done"
        names = ("submitted_at", "started_at", "finished_at")
        moments = [datetime.fromisoformat(job[name]) for name in names]
        assert moments == sorted(moments) and job["updated_at"] == job["finished_at"]
        until(lambda: receiver.received, what="its webhook arrives")
        assert fleet.ended(fleet.submit(picture()))["status"] == "done"
    (received,) = receiver.received
    reported = datetime.fromisoformat(received.message["data"]["finished_at"])
    assert reported == moments[-1]
    ends = f"select kind from events where job_id = '{job_id}' and kind in ('done', 'error')"
    assert rows(fleet.web, ends) == [("done",)]
    assert (fleet.home / "gate-entered").read_text() == "x", "nothing was done twice"
    assert worker.process.poll() is None


def added(store: JobStore, callback_url: str | None = None) -> None:
    with store.engine.begin() as connection:
        new = NewJob(JOB_ID, "image.png", JobRequest(), "heavy", callback_url=callback_url)
        store.add(connection, new)


def found(store: JobStore) -> Job:
    job = store.find(JOB_ID)
    assert job is not None
    return job


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
def test_job_changes_have_ordered_timestamps(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    store, heart, clock = JobStore(engine), registered(engine, 0), time.time
    changes: list[Callable[[], object]] = [
        lambda: store.begin_stage(JOB_ID, "original", worker=heart.id),
        lambda: store.report_progress(JOB_ID, 0.5, worker=heart.id),
        lambda: store.finish(Outcome(JOB_ID, None, None), worker=heart.id),
    ]
    added(store)
    times = [found(store).submitted_at]
    for number, change in enumerate(changes, start=1):
        shift = number * step_s
        monkeypatch.setattr(time, "time", lambda shift=shift: clock() + shift)
        change()
        times.append(found(store).updated_at)
    job = found(store)
    assert times == sorted(times)
    assert (job.started_at, job.finished_at) == (times[1], times[3])
    if step_s > 0:
        assert times[3] - times[0] >= 3 * HOUR_S
    assert not store.finish(Outcome(JOB_ID, None, None), worker=heart.id)
    with engine.connect() as connection:
        kinds = [event.kind for event in events_after(connection, JOB_ID, 0)]
    assert kinds == ["stage", "progress", "done"]


def test_clock_set_back_does_not_delay_webhooks(
    engine: sa.Engine,
) -> None:
    store, log = JobStore(engine), DeliveryLog(engine)
    added(store, "http://receiver.example/hook")
    store.cancel(JOB_ID)
    now = time.time() + 1

    def claim(at: float) -> list[str]:
        taken = log.claim_due(now=at, until=at + 60, at_most=9, of_each=3, held={"x": 3})
        for each in taken:
            attempt = Attempt(at, 0.1, 500, None)
            log.record(each, attempt, status="pending", next_at=at + 300)
        return [each.id for each in taken]

    (first,) = claim(now)
    back = now - HOUR_S
    log.restart_waits(now=back)
    assert claim(back + 299) == []
    assert claim(back + 300) == [first]
