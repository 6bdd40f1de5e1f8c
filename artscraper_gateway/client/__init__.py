"""A client of the gateway: `Gateway`, and `AsyncGateway` for asyncio.

    with Gateway("http://127.0.0.1:8765") as gateway:
        gateway.protect("in.jpg", "out.jpg", strength="low")

Every refusal is an exception of the module `errors`. Needs httpx and httpx-sse only.
"""

from ._async import AsyncGateway
from ._sync import Gateway
from .connection import RetryPolicy
from .models import Batch, Delivery, Job, Layer, Limits, Result, WatermarkReading
from .requests import JobOptions, Picture, ServerPath
from .webhooks import WebhookMessage, verify_webhook

__all__ = [
    "AsyncGateway",
    "Batch",
    "Delivery",
    "Gateway",
    "Job",
    "JobOptions",
    "Layer",
    "Limits",
    "Picture",
    "Result",
    "RetryPolicy",
    "ServerPath",
    "WatermarkReading",
    "WebhookMessage",
    "verify_webhook",
]
