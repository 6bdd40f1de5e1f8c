"""A real browser on a real gateway. Errors on its console fail the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from artscraper_gateway.tests.gateway_process import GatewayProcess, until
from artscraper_gateway.tests.web.page_object import PageObject, picture_bytes

CHROMIUM = shutil.which("chromium")
# The browser logs each refused upload as a failed response; the page shows its message.
EXPECTED = ("Failed to load resource", "net::ERR_CONNECTION_REFUSED", "net::ERR_INCOMPLETE")
TIMEOUT_MS = 60_000  # the machine may be busy
expect.set_options(timeout=TIMEOUT_MS)
LIMITS = {"max_upload_bytes": 600_000, "max_pixels": 1_000_000}


# Not for the whole session: a running sync_playwright keeps other tests from asyncio.run.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        message = "THE PAGE IS NOT TESTED: install chromium (apt-get install chromium)"
        assert "ARTSCRAPER_REQUIRE_CHROMIUM" not in os.environ, message
        pytest.skip(message)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One gateway that the tests of the page share, with small limits and a stage that waits."""
    home = tmp_path_factory.mktemp("gateway")
    process = GatewayProcess(home, LIMITS, with_stages_for_tests=True).start()
    yield process
    process.stop()


@pytest.fixture(scope="package")
def done_job(shared_gateway: GatewayProcess) -> str:
    """The id of a finished job with an attack and a mark, 480x320; tests must not change it."""
    with shared_gateway.client() as client:
        job: dict[str, str] = client.post(
            "/v1/jobs",
            files={"file": ("finished.png", picture_bytes(480, 320))},
            data={"stages": "photoguard,invisible-watermark"},
            headers={"Prefer": "wait=170"},
        ).json()
    assert job["status"] == "done", job
    return job["job_id"]


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., PageObject]]:
    """Open pages in contexts of their own; at the end none may have logged an error."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def note(text: str) -> None:
        if not any(expected in text for expected in EXPECTED):
            errors.append(text)

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: note(str(error)))
        page.on("console", lambda message: note(message.text) if message.type == "error" else None)

    def open_page(base_url: str, path: str = "/", **options: Any) -> PageObject:
        context = browser.new_context(
            **{"viewport": {"width": 1100, "height": 850}, "reduced_motion": "reduce", **options}
        )
        context.set_default_timeout(TIMEOUT_MS)
        contexts.append(context)
        context.on("page", watch)
        opened = PageObject(context.new_page(), base_url, tmp_path)
        opened.open(path)
        return opened

    yield open_page
    for context in contexts:
        context.close()
    assert not errors, errors


@pytest.fixture
def app(open_page: Callable[..., PageObject], shared_gateway: GatewayProcess) -> PageObject:
    """The page of the shared gateway, freshly opened, when no job of an earlier test is left."""
    with shared_gateway.client() as client:

        def is_idle() -> bool:
            queued = client.get("/v1/jobs?status=queued").json()["jobs"]  # before those that run
            return not queued and not client.get("/v1/jobs?status=running").json()["jobs"]

        until(is_idle, what="the jobs of earlier tests end")
    return open_page(shared_gateway.base_url)
