"""A real browser on a real gateway. What its console complains about fails the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from artscraper_gateway.tests.gateway_process import GatewayProcess
from artscraper_gateway.tests.web.screens import Studio, picture_bytes

CHROMIUM = shutil.which("chromium")
# A refused upload is a failed response, and the browser says so of each; the page says it better.
EXPECTED = ("Failed to load resource", "net::ERR_CONNECTION_REFUSED", "net::ERR_INCOMPLETE")
PATIENCE_MS = 20_000  # the machine may be busy
expect.set_options(timeout=PATIENCE_MS)
LIMITS = {"max_upload_bytes": 600_000, "max_pixels": 1_000_000}


# Not for the whole session: a running sync_playwright keeps other tests from asyncio.run.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        told = "THE PAGE IS NOT TESTED: install chromium (apt-get install chromium)"
        assert "ARTSCRAPER_REQUIRE_CHROMIUM" not in os.environ, told
        pytest.skip(told)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM)
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def studio_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One gateway that the tests of the page share; small limits, and a stage that waits."""
    home = tmp_path_factory.mktemp("studio")
    process = GatewayProcess(home, LIMITS, with_stages_for_tests=True).start()
    yield process
    process.stop()


@pytest.fixture(scope="package")
def done_job(studio_gateway: GatewayProcess) -> str:
    """The id of a job with an attack and a mark, 480x320, that only looks are taken at."""
    with studio_gateway.client() as client:
        job: dict[str, str] = client.post(
            "/v1/jobs",
            files={"file": picture_bytes(480, 320)},
            data={"stages": "photoguard,invisible-watermark"},
            headers={"Prefer": "wait=170"},
        ).json()
    assert job["status"] == "done", job
    return job["job_id"]


@pytest.fixture
def open_studio(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Studio]]:
    """Opens pages, in contexts of their own; at the end none may have met an error."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def note(text: str) -> None:
        if not any(expected in text for expected in EXPECTED):
            complaints.append(text)

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: note(str(error)))
        page.on("console", lambda said: note(said.text) if said.type == "error" else None)

    def open_page(base_url: str, path: str = "/", **options: Any) -> Studio:
        context = browser.new_context(
            **{"viewport": {"width": 1100, "height": 850}, "reduced_motion": "reduce", **options}
        )
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        context.on("page", watch)
        studio = Studio(context.new_page(), base_url, tmp_path)
        studio.open(path)
        return studio

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints, complaints


@pytest.fixture
def studio(open_studio: Callable[..., Studio], studio_gateway: GatewayProcess) -> Studio:
    """The page of the shared gateway, freshly opened."""
    return open_studio(studio_gateway.base_url)
