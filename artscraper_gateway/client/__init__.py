"""A client of the gateway, for scripts and services: `Gateway`, and `AsyncGateway` for asyncio.

    from artscraper_gateway.client import Gateway

    with Gateway("http://127.0.0.1:8765") as gateway:
        job = gateway.wait(gateway.submit("input/astronaut.jpg", strength="low").job_id)
        files = gateway.download(job.job_id, "protected")

Every refusal is an exception, see `errors`. Importing this loads neither the service nor torch.
"""

from artscraper_gateway.client._async import AsyncGateway
from artscraper_gateway.client._sync import Gateway
from artscraper_gateway.client.bodies import JobOptions, OnGateway, Picture
from artscraper_gateway.client.models import (
    Batch,
    Delivery,
    Job,
    Layer,
    Limits,
    Result,
    WatermarkReading,
)
from artscraper_gateway.client.retry import Attempts
from artscraper_gateway.client.webhooks import WebhookMessage, verify_webhook

__all__ = [
    "AsyncGateway",
    "Attempts",
    "Batch",
    "Delivery",
    "Gateway",
    "Job",
    "JobOptions",
    "Layer",
    "Limits",
    "OnGateway",
    "Picture",
    "Result",
    "WatermarkReading",
    "WebhookMessage",
    "verify_webhook",
]
