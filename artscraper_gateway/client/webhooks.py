"""Verify webhooks of the gateway (Standard Webhooks, HMAC-SHA256)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from .errors import InvalidWebhook, UnexpectedResponse
from .parsing import build

_SECRET_PREFIX = "whsec_"  # noqa: S105  a prefix, not a secret
_TOLERANCE_S = 300


@dataclass(frozen=True)
class WebhookData:
    """The job when it ended."""

    job_id: str
    status: Literal["done", "error"]
    submitted_at: datetime
    finished_at: datetime
    error: str | None
    error_code: str | None
    batch_id: str | None


@dataclass(frozen=True)
class WebhookMessage:
    """A job has ended. A message may come twice, with the same webhook-id header."""

    type: Literal["job.done", "job.error"]
    timestamp: datetime
    data: WebhookData


def verify_webhook(secret: str, headers: Mapping[str, str], body: bytes) -> WebhookMessage:
    """Return the message in `body`, exactly as received, after checking signature and time.

    `secret` begins with whsec_; the command `keys` of the gateway prints it.

    Raises:
        InvalidWebhook: not signed with this secret, more than five minutes old, or changed.
    """
    fields = {name.lower(): value for name, value in headers.items()}
    try:
        identifier = fields["webhook-id"]
        timestamp = fields["webhook-timestamp"]
        signatures = fields["webhook-signature"]
    except KeyError as error:
        raise InvalidWebhook(f"the header {error.args[0]} is missing") from error
    _check_time(timestamp)
    expected = _sign(secret, f"{identifier}.{timestamp}.".encode() + body)
    versions = (each.partition(",") for each in signatures.split())
    matches = [
        hmac.compare_digest(expected, signature.encode())
        for version, _, signature in versions
        if version == "v1"
    ]
    if not any(matches):
        raise InvalidWebhook("no signature of the webhook is valid")
    try:
        return build(WebhookMessage, json.loads(body))
    except (ValueError, UnexpectedResponse) as error:
        raise InvalidWebhook("the body of the webhook cannot be read") from error


def _check_time(timestamp: str) -> None:
    try:
        age_s = time.time() - int(timestamp)
    except ValueError as error:
        raise InvalidWebhook("webhook-timestamp is not a number") from error
    if abs(age_s) > _TOLERANCE_S:
        raise InvalidWebhook("the webhook is more than five minutes old, or ahead")


def _sign(secret: str, content: bytes) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidWebhook("the secret is not valid; it begins with whsec_") from error
    return base64.b64encode(hmac.new(key, content, hashlib.sha256).digest())
