"""One line per event, with its request and job; secrets and control characters are removed."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable

import pytest

from artscraper_gateway.observability.logging import (
    LineFormatter,
    _secrets_of,
    current_request_id,
    log_context,
)
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import GatewayProcess, until
from artscraper_gateway.tests.test_api_keys import keys
from artscraper_gateway.tests.webhook_receiver import webhook_receiver

KEY = "ask_0123456789abcdef_" + "s" * 43
LEAKS = {
    "an API key": (f"no such key {KEY}", "s" * 43),
    "a webhook secret": ("signed with whsec_QUJDREVGR0g=", "QUJDREVGR0g"),
    "a presigned URL": (
        "GET https://s3.example/b/k.png?X-Amz-Signature=f00dfeed&X-Amz-Credential=AKIA failed",
        "f00dfeed",
    ),
    "a presigned path": ("PUT /bucket/k.png?X-Amz-Signature=f00dfeed", "f00dfeed"),
    "a database's password": ("cannot reach postgresql://me:hunter2@db/art", "hunter2"),
    "a password with an at": ("cannot reach postgresql://me:hun@ter2@db/art", "ter2"),
    "libpq's form": ("host=db user=me password=hunter2 dbname=art", "hunter2"),
    "a header": ("{'Authorization': 'Bearer abcdefgh'}", "abcdefgh"),
    "a session cookie": ("cookie: session=abcdefgh; theme=dark", "abcdefgh"),
    "a setting's value": ("the answer was tineye-sesame, oddly", "sesame"),
}


def line(message: str, *, as_json: bool = False, error: Exception | None = None) -> str:
    formatter = LineFormatter(as_json=as_json, secrets=["tineye-sesame"])
    about_error = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("art", logging.INFO, __file__, 1, "%s", (message,), about_error)
    return formatter.format(record)


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("what", LEAKS)
def test_log_lines_redact_secrets(what: str, as_json: bool) -> None:
    message, secret = LEAKS[what]
    assert secret not in line(message, as_json=as_json)
    assert "***" in line(message, as_json=as_json)
    with_trace = line("it broke", as_json=as_json, error=ValueError(message))
    assert secret not in with_trace and "ValueError" in with_trace


@pytest.mark.parametrize("character", ["\n", "\r", "\x1b[31m", "\x85", "\u2028", "\x00", "\u202e"])
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_control_characters_cannot_forge_log_lines(character: str, as_json: bool) -> None:
    name = f"cat.png{character}2026-01-01 INFO artscraper: all is well"
    written = line(f"refused {name}", as_json=as_json)
    assert len(written.splitlines()) == 1
    assert character not in written
    assert "cat.png" in written and "all is well" in written


def test_traceback_stays_in_its_line() -> None:
    def broken() -> str:
        try:
            int("first\nsecond")
        except ValueError as error:
            return line("it broke", error=error)
        raise AssertionError

    written = broken()
    assert len(written.splitlines()) == 1
    assert "Traceback" in written and r"\n" in written and "second" in written


def test_log_keeps_text_without_secrets() -> None:
    message = "took https://example.org/a/b.png, password rules and 50 % of ask_ing"
    assert line(message).endswith(message)


def test_log_lines_have_request_and_job_ids() -> None:
    with log_context(request_id="r-1"), log_context(job_id="j-1"):
        assert current_request_id() == "r-1"
        row = json.loads(line("hello", as_json=True))
        assert line("hello").endswith("hello job_id=j-1 request_id=r-1")
    assert (row["message"], row["request_id"], row["job_id"]) == ("hello", "r-1", "j-1")
    assert row["level"] == "info" and re.match(r"\d{4}-\d\d-\d\dT", row["time"])
    assert "job_id" not in json.loads(line("hello", as_json=True))


def test_secrets_of_settings_are_redacted() -> None:
    config = GatewayConfig(database_url="postgresql://me:hun%40ter2@db/art", tineye_api_key="open")
    assert {"hun%40ter2", "open", "postgresql://me:hun%40ter2@db/art"} <= {*_secrets_of(config)}


def test_job_id_is_logged_by_all_processes(
    start_gateway: Callable[..., GatewayProcess], picture: Callable[..., bytes]
) -> None:
    gateway = start_gateway(log_format="json", log_level="debug")
    with gateway.client() as client:
        named = client.post(
            "/v1/jobs",
            files={"file": ("cat\nINFO forged.png", picture(64, 64), "image/png")},
            data={"stages": "invisible-watermark", "watermark_text": "mine"},
            headers={"X-Request-Id": "order-66", "Prefer": "wait=170", "X-API-Key": KEY},
        )
        forged = client.post(
            "/v1/jobs",
            files={"file": ("a.png", b"no picture")},
            headers={"X-Request-Id": "bad id\twith spaces"},
        )
    assert named.headers["x-request-id"] == "order-66"
    assert re.fullmatch("[0-9a-f]{32}", forged.headers["x-request-id"])
    assert forged.status_code == 415
    gateway.stop()
    lines = [json.loads(each) for each in gateway.log().splitlines()]  # nothing else is written
    job_id = named.json()["job_id"]
    of_job = [each for each in lines if each.get("job_id") == job_id]
    assert {each["request_id"] for each in of_job} == {"order-66"}
    assert any("accepted" in each["message"] for each in of_job)
    assert any(each["message"].startswith("done, ") for each in of_job)
    refused = [each for each in lines if each.get("request_id") == forged.headers["x-request-id"]]
    assert any("415 unsupported-picture" in each["message"] for each in refused)
    assert "s" * 43 not in gateway.log() and "forged" not in gateway.log()


def test_secrets_are_not_logged(
    start_gateway: Callable[..., GatewayProcess], picture: Callable[..., bytes]
) -> None:
    gateway = start_gateway(worker_concurrency=0, allow_private_addresses="yes", log_level="debug")
    secrets = {"presigned": "f00dfeedf00dfeed", "token": "hush-hush-hush"}
    with webhook_receiver() as receiver, gateway.client() as client:
        job = client.post(
            "/v1/jobs",
            files={"file": picture(64, 64)},
            data={"callback_url": f"{receiver.url}?token={secrets['token']}"},
        ).json()
        client.post(f"/v1/jobs/{job['job_id']}/cancel")
        until(lambda: receiver.received, what="the webhook arrives")
        signature = receiver.received[0].headers["webhook-signature"]
        address = f"http://127.0.0.1:9/b/k.png?X-Amz-Signature={secrets['presigned']}"
        refused = client.post("/v1/jobs", json={"image_url": address})
        assert refused.status_code == 422
        client.get(f"/v1/jobs?page_token={secrets['token']}", headers={"X-API-Key": KEY})
    secrets["webhook"] = keys(gateway.home, "webhook-secret").stdout.strip()
    assert secrets["webhook"].startswith("whsec_")
    gateway.stop()
    log = gateway.log()
    assert "webhook msg_" in log and "422 download-failed" in log  # it does tell of them
    for secret in (*secrets.values(), signature, "s" * 43):
        assert secret not in log
