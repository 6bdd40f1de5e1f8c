"""Signals that pictures are reserved from text and data mining and from training of models."""

from __future__ import annotations

from typing import Any

from artscraper_gateway.jobs.models import Job
from artscraper_gateway.settings.model import GatewayConfig

CONTENT_USAGE = "train-ai=n"  # IETF AI Preferences vocabulary
ROBOTS_TAG = "noai, noimageai"
STATEMENT_STAGE = "c2pa"  # carries the do-not-train statement


def opt_out_headers(config: GatewayConfig, *jobs: Job) -> dict[str, str]:
    """Return the headers of a download of these jobs; none unless one of them opted out."""
    if not (config.opt_out or any(STATEMENT_STAGE in job.request.stages for job in jobs)):
        return {}
    headers = {
        "Content-Usage": CONTENT_USAGE,
        "tdm-reservation": "1",
        "X-Robots-Tag": ROBOTS_TAG,
    }
    if config.tdm_policy is not None:
        headers["tdm-policy"] = config.tdm_policy
    return headers


def tdmrep(config: GatewayConfig) -> list[dict[str, Any]]:
    """Return /.well-known/tdmrep.json (TDM Reservation Protocol) for the whole gateway."""
    rule: dict[str, Any] = {"location": "/", "tdm-reservation": int(config.opt_out)}
    if config.opt_out and config.tdm_policy is not None:
        rule["tdm-policy"] = config.tdm_policy
    return [rule]


def robots_txt(config: GatewayConfig) -> str:
    """Return /robots.txt: jobs are private, so no crawler reads them."""
    usage = f"Content-Usage: {CONTENT_USAGE}\n" if config.opt_out else ""
    return f"User-agent: *\n{usage}Disallow: /v1/\n"
