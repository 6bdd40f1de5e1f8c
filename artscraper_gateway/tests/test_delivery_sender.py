"""The order of deliveries when many wait, and the effect of clock steps on waits."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from artscraper_gateway.db.tables import deliveries
from artscraper_gateway.jobs.models import NewJob
from artscraper_gateway.tests.gateway_process import until
from artscraper_gateway.tests.test_webhooks import REQUEST, WebhookHarness
from artscraper_gateway.tests.webhook_receiver import webhook_receiver
from artscraper_gateway.webhooks import sender as delivery_sender
from artscraper_gateway.webhooks.repository import Attempt

HOUR_S = 3600.0


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[WebhookHarness]:
    harness = WebhookHarness(tmp_path)
    yield harness
    harness.engine.dispose()


def add_due(harness: WebhookHarness, url: str, count: int, *, next_at: float) -> None:
    """Add `count` messages to `url`, which are due since `next_at`."""
    job_id = f"{url}{next_at}".encode().hex()
    new = NewJob(job_id, "image.png", REQUEST, "passthrough", callback_url=url)
    with harness.engine.begin() as connection:
        harness.store.add(connection, new)
    assert harness.store.cancel(job_id)
    mine = deliveries.c.job_id == job_id
    with harness.engine.begin() as connection:
        connection.execute(sa.update(deliveries).where(mine).values(next_at=next_at))
        row = dict(connection.execute(sa.select(deliveries).where(mine)).mappings().one())
        more = [{**row, "id": f"{row['id']}-{number}"} for number in range(1, count)]
        if more:
            connection.execute(sa.insert(deliveries), more)


def claimed(harness: WebhookHarness, **options: Any) -> Counter[str]:
    """Return how many messages each host gets of 32 slots, 8 of each."""
    given = {"at_most": 32, "of_each": 8, "held": {}, **options}
    taken = harness.log.claim_due(now=harness.now, until=harness.now + 60, **given)
    return Counter(delivery.receiver for delivery in taken)


def send_until(harness: WebhookHarness, condition: Callable[[], Any], *, what: str) -> None:
    """Run a sender, as the gateway does, until `condition` holds."""

    async def run() -> None:
        sending = asyncio.create_task(harness.sender().run())
        try:
            await asyncio.to_thread(until, condition, what=what)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    asyncio.run(run())


def tries(harness: WebhookHarness) -> int:
    with harness.engine.connect() as connection:
        found: int = connection.exec_driver_sql("select sum(tries) from deliveries").scalar_one()
        return found


def test_hanging_receiver_delays_no_other(harness: WebhookHarness) -> None:
    with webhook_receiver((-1, {})) as dead, webhook_receiver() as alive:
        add_due(harness, dead.url, 100, next_at=0)
        add_due(harness, alive.url, 1, next_at=1)
        send_until(harness, lambda: tries(harness) and dead.received, what="one try has ended")
        assert tries(harness) == len(alive.received) == 1, "it waited for a try to hang to its end"
        assert len(dead.received) <= 8


def test_busy_receiver_delays_no_other(harness: WebhookHarness) -> None:
    add_due(harness, "http://dead.example/hook", 2000, next_at=1)
    for number in range(5):
        add_due(harness, f"http://alive.example:800{number}/", 3, next_at=2)
    alive = {f"alive.example:800{number}": 3 for number in range(5)}
    assert claimed(harness) == {"dead.example": 8, **alive}
    assert claimed(harness) == {"dead.example": 8}
    assert claimed(harness, held={"dead.example": 6}) == {"dead.example": 2}
    add_due(harness, "http://late.example/", 20, next_at=3)
    assert claimed(harness, held={"dead.example": 8}, at_most=24) == {"late.example": 8}
    assert claimed(harness, at_most=0) == {}


def test_receiver_is_host_and_port(harness: WebhookHarness) -> None:
    add_due(harness, "http://example.org/a?job=1", 4, next_at=1)
    add_due(harness, "http://EXAMPLE.org:80/b", 4, next_at=1)
    add_due(harness, "https://example.org:443/c", 4, next_at=1)
    add_due(harness, "http://example.org:8080/a", 4, next_at=1)
    assert claimed(harness) == {"example.org": 8, "example.org:8080": 4}


def test_free_receiver_slot_is_used_before_next_poll(
    harness: WebhookHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_sender, "_LOOK_EVERY_S", HOUR_S)
    with webhook_receiver() as receiver:
        add_due(harness, receiver.url, 30, next_at=1)
        send_until(harness, lambda: tries(harness) == 30, what="all are sent")
        assert len(receiver.received) == 30


def test_clock_set_back_reschedules_a_wait(harness: WebhookHarness) -> None:
    with webhook_receiver((500, {}), (503, {"Retry-After": "120"}), (204, {})) as receiver:
        harness.end_a_job(receiver.url)
        assert harness.send() == 1
        for wait_s in (5, 300):
            harness.now -= HOUR_S
            assert harness.send() == 0, "a wait begins anew"
            harness.now += wait_s
            assert harness.send() == 1
    delivery, attempts = harness.found()
    assert delivery.status == "delivered"
    assert sorted(each.http_status or 0 for each in attempts) == [204, 500, 503]


def test_clock_set_back_delays_no_running_delivery(harness: WebhookHarness) -> None:
    with webhook_receiver() as receiver:
        harness.end_a_job(receiver.url)
        assert claimed(harness).total() == 1
        harness.now -= HOUR_S
        assert harness.send() == 0, "another sender may be sending it"
        harness.now += 60
        assert harness.send() == 1 and harness.found()[0].status == "delivered"


def test_small_clock_skew_reschedules_nothing(harness: WebhookHarness) -> None:
    with webhook_receiver((500, {})) as receiver:
        harness.end_a_job(receiver.url)
        harness.send()
    before = harness.found()[0].next_at
    harness.now -= 30
    assert harness.send() == 0 and harness.found()[0].next_at == before


def test_clock_set_forward_brings_one_retry(harness: WebhookHarness) -> None:
    with webhook_receiver((500, {}), (204, {})) as receiver:
        harness.end_a_job(receiver.url)
        harness.send()
        harness.now += HOUR_S
        assert harness.send() == 1
        assert harness.send() == 0 and len(receiver.received) == 2
    delivery, attempts = harness.found()
    assert delivery.status == "delivered"
    assert [each.http_status for each in attempts] == [500, 204]


def test_superseded_attempt_is_listed_and_decides_nothing(
    harness: WebhookHarness,
) -> None:
    add_due(harness, "https://a.example/", 1, next_at=0.0)
    (taken,) = harness.log.claim_due(
        now=harness.now, until=harness.now + 60, at_most=1, of_each=1, held={}
    )
    assert harness.log.send_again(taken.job_id, taken.id)
    failed = Attempt(harness.now, 4.0, 500, None)
    harness.log.record(taken, failed, status="failed", next_at=None)
    ((shown, attempts),) = harness.log.of_job(taken.job_id)
    assert attempts == [failed]
    assert (shown.status, shown.tries) == ("pending", 0)
