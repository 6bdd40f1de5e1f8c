"""Check that a webhook is the gateway's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from artscraper_gateway.client.errors import InvalidWebhook


class WebhookData(BaseModel):
    """The job as it ended."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    job_id: str
    status: Literal["done", "error"]
    submitted_at: datetime
    finished_at: datetime
    error: str | None
    error_code: str | None
    batch_id: str | None


class WebhookMessage(BaseModel):
    """A job has ended. The same message may come twice, with the same webhook-id."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: Literal["job.done", "job.error"]
    timestamp: datetime
    data: WebhookData


def verify_webhook(secret: str, headers: Mapping[str, str], body: bytes) -> WebhookMessage:
    """Returns the message in `body`, as received, once its signature and its time are right.

    `secret` begins with whsec_; `python -m artscraper_gateway keys` prints it.

    Raises:
        InvalidWebhook: it is not the gateway's, is over five minutes old, or was changed.
    """
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
        return WebhookMessage.model_validate(json.loads(body))
    except (WebhookVerificationError, ValidationError, ValueError) as error:
        raise InvalidWebhook(f"the webhook is refused: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, WebhookVerificationError):
        return str(error)
    return "its signature or its body cannot be read"
