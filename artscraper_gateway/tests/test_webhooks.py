"""Webhooks: signed, retried by a schedule that outlives its senders, never in a job's way."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.jobs.models import NewJob
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.jobs.request import JobRequest
from artscraper_gateway.net.address_guard import UNUSABLE_NAME, AddressRules
from artscraper_gateway.observability.metrics import Metrics
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import GatewayProcess, until
from artscraper_gateway.tests.test_api_keys import added, keys
from artscraper_gateway.tests.test_contract import LIGHT, submit
from artscraper_gateway.tests.webhook_receiver import webhook_receiver
from artscraper_gateway.webhooks.repository import Attempt, Delivery, DeliveryLog
from artscraper_gateway.webhooks.sender import _AT_ONCE_EACH, RETRY_AFTER_S, DeliverySender

Start = Callable[..., GatewayProcess]
Picture = Callable[..., bytes]
DOCUMENTED_S = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
REQUEST = JobRequest()


class WebhookHarness:
    """A delivery log with its own clock, and the sender that works on it."""

    def __init__(self, home: Path, *, private: bool = True) -> None:
        self.now = 1_700_000_000.0
        config = GatewayConfig(base_dir=home / "gateway_jobs")
        self.engine, self.metrics = open_engine(config), Metrics(config, "web")
        self.store, self.log = JobStore(self.engine), DeliveryLog(self.engine)
        self.rules = AddressRules(allow_private=private)
        self.chance = 0.0

    def end_a_job(self, url: str, job_id: str = "a" * 32) -> None:
        """End a job whose message is due at once by this harness's clock."""
        new = NewJob(job_id, "image.png", REQUEST, "passthrough", callback_url=url)
        with self.engine.begin() as connection:
            self.store.add(connection, new)
        assert self.store.cancel(job_id)
        with self.engine.begin() as connection:
            connection.exec_driver_sql("update deliveries set next_at = 0 where tries = 0")

    def sender(self) -> DeliverySender:
        return DeliverySender(
            self.log,
            self.rules,
            self.metrics,
            clock=lambda: self.now,
            chance=lambda: self.chance,
        )

    def send(self) -> int:
        """Send what is due at this moment."""
        return asyncio.run(send_due(self.sender()))

    def found(self, job_id: str = "a" * 32) -> tuple[Delivery, list[Attempt]]:
        ((delivery, attempts),) = self.log.of_job(job_id)
        return delivery, attempts


async def send_due(sender: DeliverySender) -> int:
    """Send the messages due now, each once; return their number."""
    sent = 0
    while begun := await sender._begin_due():
        sent += begun
        await asyncio.gather(*sender._tasks)
    return sent


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[WebhookHarness]:
    harness = WebhookHarness(tmp_path)
    yield harness
    harness.engine.dispose()


def deliveries(client: httpx.Client, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/v1/jobs/{job_id}/deliveries").json()["deliveries"]
    return found


def settled(client: httpx.Client, job_id: str, status: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        (delivery,) = deliveries(client, job_id)
        return delivery if delivery["status"] == status else None

    found: dict[str, Any] = until(look, what=f"the delivery is {status}")
    return found


def test_webhooks_of_finished_and_failed_jobs_verify(
    start_app: Start, tmp_path: Path, picture: Picture
) -> None:
    gateway = start_app(allow_private_addresses="yes")
    secret = keys(tmp_path, "webhook-secret").stdout.strip()
    assert secret.startswith("whsec_")
    with webhook_receiver() as receiver, gateway.client() as client:
        fields = {**LIGHT, "callback_url": receiver.url}
        done = submit(client, picture(64, 64), **fields)
        broken = picture(400, 400)
        half = {"callback_url": receiver.url, "stages": "invisible-watermark"}
        failed = submit(client, broken[: len(broken) // 2], **half)
        assert failed["status"] == "error"
        for job in (done, failed):
            delivery = settled(client, job["job_id"], "delivered")
            assert [each["http_status"] for each in delivery["attempts"]] == [204]
        messages_by_job = {each.message["data"]["job_id"]: each for each in receiver.received}
        for job, kind in ((done, "job.done"), (failed, "job.error")):
            received = messages_by_job[job["job_id"]]
            message = Webhook(secret).verify(received.body, received.headers)
            assert message["type"] == kind
            assert message["data"]["status"] == job["status"]
            assert message["data"]["error"] == job["error"]
            with pytest.raises(WebhookVerificationError):
                Webhook(secret).verify(received.body + b" ", received.headers)
        silent = submit(client, picture(64, 64), **LIGHT)
        assert deliveries(client, silent["job_id"]) == []


def test_api_keys_have_distinct_webhook_secrets(
    start_app: Start, tmp_path: Path, picture: Picture
) -> None:
    gateway = start_app(allow_private_addresses="yes")
    printed = keys(tmp_path, "add", "ada").stdout.split()
    token = next(word for word in printed if word.startswith("ask_"))
    secret = next(word for word in printed if word.startswith("whsec_"))
    assert secret != keys(tmp_path, "webhook-secret").stdout.strip()
    header = {"X-API-Key": token}
    with webhook_receiver() as receiver, gateway.client(headers=header) as client:
        submit(client, picture(64, 64), **LIGHT, callback_url=receiver.url)
        until(lambda: receiver.received, what="it arrives")
        (received,) = receiver.received
        assert Webhook(secret).verify(received.body, received.headers)["type"] == "job.done"


def test_retry_schedule_is_as_documented(harness: WebhookHarness) -> None:
    assert list(RETRY_AFTER_S) == DOCUMENTED_S
    with webhook_receiver((503, {})) as receiver:
        harness.end_a_job(receiver.url)
        assert harness.send() == 1
        for pause_s in DOCUMENTED_S:
            harness.now += pause_s - 0.5
            assert harness.send() == 0, f"too early for the try after {pause_s} s"
            harness.now += 0.5
            assert harness.send() == 1
        delivery, attempts = harness.found()
        assert (delivery.status, delivery.next_at) == ("failed", None)
        assert [each.http_status for each in attempts] == [503] * 10
        harness.now += 10 * 86_400
        assert harness.send() == 0
    ids = {received.headers["webhook-id"] for received in receiver.received}
    assert ids == {delivery.id}, "one message, one id"
    assert len({received.body for received in receiver.received}) == 1
    assert len({received.headers["webhook-timestamp"] for received in receiver.received}) == 10


def test_retries_are_spread_by_jitter(harness: WebhookHarness) -> None:
    with webhook_receiver((500, {})) as receiver:
        harness.end_a_job(receiver.url)
        harness.chance = 1.0
        harness.send()
        assert harness.found()[0].next_at == pytest.approx(harness.now + 5.5)


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [("120", 120), ("2", 5), ("99999999", 86_400), ("soon", 5), ("-5", 5), ("date", 900)],
)
def test_retry_after_is_honoured(harness: WebhookHarness, header: str, wait_s: int) -> None:
    if header == "date":
        header = format_datetime(datetime.fromtimestamp(harness.now + 900, UTC), usegmt=True)
    with webhook_receiver((429, {"Retry-After": header})) as receiver:
        harness.end_a_job(receiver.url)
        harness.send()
    assert harness.found()[0].next_at == pytest.approx(harness.now + wait_s)


def test_410_closes_the_receiver(harness: WebhookHarness) -> None:
    with webhook_receiver((500, {}), (410, {}), (204, {})) as receiver:
        harness.end_a_job(receiver.url, "a" * 32)
        harness.send()
        harness.end_a_job(receiver.url, "b" * 32)
        harness.send()
        harness.end_a_job(receiver.url, "c" * 32)
        harness.now += 30 * 86_400
        assert harness.send() == 0
        assert {harness.found(letter * 32)[0].status for letter in "abc"} == {"closed"}
        again = harness.found("b" * 32)[0]
        assert harness.log.send_again("b" * 32, again.id)
        harness.now = time.time() + 1
        assert harness.send() == 1 and harness.found("b" * 32)[0].status == "delivered"
        harness.end_a_job(receiver.url, "d" * 32)
        assert harness.send() == 1, "one that arrives opens the receiver again"


def test_redirect_and_closed_connection_fail_delivery(harness: WebhookHarness) -> None:
    with webhook_receiver() as other:
        with webhook_receiver((302, {"Location": other.url}), (0, {})) as receiver:
            harness.end_a_job(receiver.url)
            harness.send()
            harness.now += 6
            harness.send()
        harness.now += 400
        harness.send()
        assert other.received == []
    _, attempts = harness.found()
    assert [each.http_status for each in attempts] == [302, None, None]
    assert attempts[1].error == "the answer was not valid HTTP"
    assert attempts[2].error == "the receiver could not be reached"


def test_webhooks_use_the_address_guard(
    tmp_path: Path, client: httpx.Client, picture: Picture
) -> None:
    harness = WebhookHarness(tmp_path, private=False)
    with webhook_receiver() as receiver:
        harness.end_a_job(receiver.url)
        harness.send()
        assert receiver.received == []
    delivery, (attempt,) = harness.found()
    assert delivery.status == "pending" and "not public" in (attempt.error or "")
    harness.engine.dispose()
    for url in ("http://127.0.0.1/x", "ftp://example.org/", "http://a:b@example.org/", "x"):
        fields = {**LIGHT, "callback_url": url}
        answer = client.post("/v1/jobs", files={"file": picture(64, 64)}, data=fields)
        assert (answer.status_code, answer.json()["code"]) == (422, "forbidden-address")


def test_unknown_and_private_receivers_have_the_same_error(tmp_path: Path) -> None:
    async def unknown(*_: object) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def private(*_: object) -> list[str]:
        return ["10.0.0.1"]

    harness = WebhookHarness(tmp_path, private=False)
    for job_id, lookup in (("a" * 32, unknown), ("b" * 32, private)):
        harness.end_a_job("http://name.example/hook", job_id)
        sender = replace(harness.sender(), lookup=lookup)
        asyncio.run(send_due(sender))
        _, (attempt,) = harness.found(job_id)
        assert attempt.error == UNUSABLE_NAME
    harness.engine.dispose()


def test_delivery_is_claimed_by_one_sender(harness: WebhookHarness) -> None:
    with webhook_receiver() as receiver:
        for number in range(20):
            harness.end_a_job(receiver.url, f"{number:032d}")
        with ThreadPoolExecutor(4) as pool:
            sent = list(pool.map(lambda _: harness.send(), range(4)))
        assert sum(sent) == 20 and len(receiver.received) == 20
        assert len({each.headers["webhook-id"] for each in receiver.received}) == 20


def test_delivery_of_a_dead_sender_is_reclaimed(harness: WebhookHarness) -> None:
    with webhook_receiver() as receiver:
        harness.end_a_job(receiver.url)
        (held,) = harness.log.claim_due(
            now=harness.now, until=harness.now + 60, at_most=9, of_each=9, held={}
        )
        harness.now += 59
        assert harness.send() == 0
        harness.now += 2
        assert harness.send() == 1
        late = Attempt(harness.now - 30, 1.0, 500, None)
        for _ in range(2):  # what was recorded already is not recorded twice
            harness.log.record(held, late, status="pending", next_at=harness.now)
        delivery, attempts = harness.found()
        assert delivery.status == "delivered", "the one that was taken for dead has no say"
        assert [each.http_status for each in attempts] == [500, 204]


def test_webhook_retry_survives_kill_9(start_gateway: Start, picture: Picture) -> None:
    gateway = start_gateway(allow_private_addresses="yes")
    with webhook_receiver((500, {}), (204, {})) as receiver:
        with gateway.client() as client:
            fields = {**LIGHT, "callback_url": receiver.url}
            job = submit(client, picture(64, 64), **fields)
            until(lambda: deliveries(client, job["job_id"])[0]["attempts"], what="one try failed")
        gateway.kill()
        assert len(receiver.received) == 1
        gateway.start()
        with gateway.client() as client:
            delivery = settled(client, job["job_id"], "delivered")
        assert [each["http_status"] for each in delivery["attempts"]] == [500, 204]
        first, second = receiver.received
        assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_dead_receiver_delays_no_job_and_is_logged(start_app: Start, picture: Picture) -> None:
    gateway = start_app(allow_private_addresses="yes")
    content = picture(64, 64)
    with (
        webhook_receiver((-1, {})) as dead,
        webhook_receiver() as alive,
        gateway.client() as client,
    ):
        for _ in range(20):
            assert submit(client, content, **LIGHT, callback_url=dead.url)["status"] == "done"
        # More when the first have run out of time: what hangs at once is tried with the sender.
        until(lambda: len(dead.received) >= _AT_ONCE_EACH, what="as many hang as may")
        job = submit(client, content, **LIGHT, callback_url=alive.url)
        settled(client, job["job_id"], "delivered")


def test_delivery_can_be_resent(start_app: Start, tmp_path: Path, picture: Picture) -> None:
    gateway = start_app(allow_private_addresses="yes")
    header = added(tmp_path, "ada")
    with webhook_receiver() as receiver, gateway.client(headers=header) as client:
        job = submit(client, picture(64, 64), **LIGHT, callback_url=receiver.url)
        url = f"/v1/jobs/{job['job_id']}/deliveries"
        delivery = settled(client, job["job_id"], "delivered")
        answer = client.post(f"{url}/{delivery['delivery_id']}/resend")
        assert answer.status_code == 200
        until(lambda: len(receiver.received) == 2, what="it comes again")
        assert len({each.headers["webhook-id"] for each in receiver.received}) == 1
        assert client.post(f"{url}/msg_x/resend").status_code == 404
        other = submit(client, picture(64, 64), **LIGHT)
        stranger = f"/v1/jobs/{other['job_id']}/deliveries/{delivery['delivery_id']}/resend"
        assert client.post(stranger).status_code == 404
