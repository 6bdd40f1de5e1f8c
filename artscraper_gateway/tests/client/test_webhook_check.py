"""`verify_webhook` against what the gateway sends, and against what others might."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from artscraper_gateway import GatewayConfig
from artscraper_gateway.client import verify_webhook
from artscraper_gateway.client.errors import InvalidWebhook
from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.tests.gateway_process import until
from artscraper_gateway.tests.support.in_process import InProcessGateway
from artscraper_gateway.tests.webhook_receiver import webhook_receiver
from artscraper_gateway.webhooks.repository import DeliveryLog

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = {
    "type": "job.done",
    "timestamp": "2026-01-02T03:04:05+00:00",
    "data": {
        "job_id": "a" * 32,
        "status": "done",
        "submitted_at": "2026-01-02T03:04:00+00:00",
        "finished_at": "2026-01-02T03:04:05+00:00",
        "error": None,
        "error_code": None,
        "batch_id": None,
    },
}


def signed(body: str, *, at: datetime | None = None, secret: str = SECRET) -> dict[str, str]:
    moment = at or datetime.now(UTC)
    return {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(int(moment.timestamp())),
        "Webhook-Signature": Webhook(secret).sign("msg_1", moment, body),
    }


def test_verify_returns_a_typed_message() -> None:
    body = json.dumps(MESSAGE)
    message = verify_webhook(SECRET, signed(body), body.encode())
    assert message.type == "job.done" and message.data.job_id == "a" * 32
    assert message.data.finished_at - message.data.submitted_at == timedelta(seconds=5)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (signed("{}"), b"{ }"),
        (signed("{}"), b"{}"),
        (signed("{}", secret="whsec_AAAA"), b"{}"),
        (signed("{}", at=datetime.now(UTC) - timedelta(minutes=6)), b"{}"),
        ({**signed("{}"), "Webhook-Signature": "v1"}, b"{}"),
        ({**signed("{}"), "Webhook-Signature": "v1,%%%"}, b"{}"),
        ({}, b"{}"),
        (signed("{}"), b"\xff"),
        (signed("[" * 10), b"[" * 10),
    ],
)
def test_verify_refuses_invalid_messages(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(InvalidWebhook) as refused:
        verify_webhook(SECRET, headers, body)
    assert SECRET not in str(refused.value)


def test_signed_webhooks_are_accepted(
    start_app: Callable[..., InProcessGateway], picture: Callable[..., bytes]
) -> None:
    gateway = start_app(allow_private_addresses="true", worker_concurrency=0)

    with webhook_receiver() as receiving, gateway.client() as client:
        files = {"file": picture(64, 64)}
        job = client.post("/v1/jobs", files=files, data={"callback_url": receiving.url}).json()
        client.post(f"/v1/jobs/{job['job_id']}/cancel")
        until(lambda: receiving.received, what="the webhook comes")
        engine = open_engine(GatewayConfig(base_dir=gateway.base_dir))
        secret = DeliveryLog(engine).secret("")
        engine.dispose()
        (got,) = receiving.received
        message = verify_webhook(secret, got.headers, got.body)
    assert message.type == "job.error" and message.data.error_code == "cancelled"
    assert message.data.job_id == job["job_id"]
