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
from artscraper_gateway.tests.test_webhooks import REQUEST, Desk
from artscraper_gateway.tests.webhook_receiver import webhook_receiver
from artscraper_gateway.webhooks import sender as delivery_sender
from artscraper_gateway.webhooks.repository import Attempt

HOUR_S = 3600.0


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.engine.dispose()


def add_due(desk: Desk, url: str, count: int, *, next_at: float) -> None:
    """Add `count` messages to `url`, which are due since `next_at`."""
    job_id = f"{url}{next_at}".encode().hex()
    new = NewJob(job_id, "image.png", REQUEST, "passthrough", callback_url=url)
    with desk.engine.begin() as connection:
        desk.store.add(connection, new)
    assert desk.store.cancel(job_id)
    mine = deliveries.c.job_id == job_id
    with desk.engine.begin() as connection:
        connection.execute(sa.update(deliveries).where(mine).values(next_at=next_at))
        row = dict(connection.execute(sa.select(deliveries).where(mine)).mappings().one())
        more = [{**row, "id": f"{row['id']}-{number}"} for number in range(1, count)]
        if more:
            connection.execute(sa.insert(deliveries), more)


def claimed(desk: Desk, **options: Any) -> Counter[str]:
    """Return how many messages each host gets of 32 slots, 8 of each."""
    given = {"at_most": 32, "of_each": 8, "held": {}, **options}
    taken = desk.log.claim_due(now=desk.now, until=desk.now + 60, **given)
    return Counter(delivery.receiver for delivery in taken)


def send_until(desk: Desk, condition: Callable[[], Any], *, what: str) -> None:
    """Run a sender, as the gateway does, until `condition` holds."""

    async def run() -> None:
        sending = asyncio.create_task(desk.sender().run())
        try:
            await asyncio.to_thread(until, condition, what=what)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    asyncio.run(run())


def tries(desk: Desk) -> int:
    with desk.engine.connect() as connection:
        found: int = connection.exec_driver_sql("select sum(tries) from deliveries").scalar_one()
        return found


def test_hanging_receiver_delays_no_other(desk: Desk) -> None:
    with webhook_receiver((-1, {})) as dead, webhook_receiver() as alive:
        add_due(desk, dead.url, 100, next_at=0)
        add_due(desk, alive.url, 1, next_at=1)
        send_until(desk, lambda: tries(desk) and dead.received, what="one try has ended")
        assert tries(desk) == len(alive.received) == 1, "it waited for a try to hang to its end"
        assert len(dead.received) <= 8


def test_busy_receiver_delays_no_other(desk: Desk) -> None:
    add_due(desk, "http://dead.example/hook", 2000, next_at=1)
    for number in range(5):
        add_due(desk, f"http://alive.example:800{number}/", 3, next_at=2)
    alive = {f"alive.example:800{number}": 3 for number in range(5)}
    assert claimed(desk) == {"dead.example": 8, **alive}
    assert claimed(desk) == {"dead.example": 8}
    assert claimed(desk, held={"dead.example": 6}) == {"dead.example": 2}
    add_due(desk, "http://late.example/", 20, next_at=3)
    assert claimed(desk, held={"dead.example": 8}, at_most=24) == {"late.example": 8}
    assert claimed(desk, at_most=0) == {}


def test_receiver_is_host_and_port(desk: Desk) -> None:
    add_due(desk, "http://example.org/a?job=1", 4, next_at=1)
    add_due(desk, "http://EXAMPLE.org:80/b", 4, next_at=1)
    add_due(desk, "https://example.org:443/c", 4, next_at=1)
    add_due(desk, "http://example.org:8080/a", 4, next_at=1)
    assert claimed(desk) == {"example.org": 8, "example.org:8080": 4}


def test_free_receiver_slot_is_used_before_next_poll(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_sender, "_LOOK_EVERY_S", HOUR_S)
    with webhook_receiver() as receiver:
        add_due(desk, receiver.url, 30, next_at=1)
        send_until(desk, lambda: tries(desk) == 30, what="all are sent")
        assert len(receiver.received) == 30


def test_clock_set_back_reschedules_a_wait(desk: Desk) -> None:
    with webhook_receiver((500, {}), (503, {"Retry-After": "120"}), (204, {})) as receiver:
        desk.end_a_job(receiver.url)
        assert desk.send() == 1
        for wait_s in (5, 300):
            desk.now -= HOUR_S
            assert desk.send() == 0, "a wait begins anew"
            desk.now += wait_s
            assert desk.send() == 1
    delivery, attempts = desk.found()
    assert delivery.status == "delivered"
    assert sorted(each.http_status or 0 for each in attempts) == [204, 500, 503]


def test_clock_set_back_delays_no_running_delivery(desk: Desk) -> None:
    with webhook_receiver() as receiver:
        desk.end_a_job(receiver.url)
        assert claimed(desk).total() == 1
        desk.now -= HOUR_S
        assert desk.send() == 0, "another sender may be sending it"
        desk.now += 60
        assert desk.send() == 1 and desk.found()[0].status == "delivered"


def test_small_clock_skew_reschedules_nothing(desk: Desk) -> None:
    with webhook_receiver((500, {})) as receiver:
        desk.end_a_job(receiver.url)
        desk.send()
    before = desk.found()[0].next_at
    desk.now -= 30
    assert desk.send() == 0 and desk.found()[0].next_at == before


def test_clock_set_forward_brings_one_retry(desk: Desk) -> None:
    with webhook_receiver((500, {}), (204, {})) as receiver:
        desk.end_a_job(receiver.url)
        desk.send()
        desk.now += HOUR_S
        assert desk.send() == 1
        assert desk.send() == 0 and len(receiver.received) == 2
    delivery, attempts = desk.found()
    assert delivery.status == "delivered"
    assert [each.http_status for each in attempts] == [500, 204]


def test_superseded_attempt_is_listed_and_decides_nothing(
    desk: Desk,
) -> None:
    add_due(desk, "https://a.example/", 1, next_at=0.0)
    (taken,) = desk.log.claim_due(now=desk.now, until=desk.now + 60, at_most=1, of_each=1, held={})
    assert desk.log.send_again(taken.job_id, taken.id)
    failed = Attempt(desk.now, 4.0, 500, None)
    desk.log.record(taken, failed, status="failed", next_at=None)
    ((shown, attempts),) = desk.log.of_job(taken.job_id)
    assert attempts == [failed]
    assert (shown.status, shown.tries) == ("pending", 0)
