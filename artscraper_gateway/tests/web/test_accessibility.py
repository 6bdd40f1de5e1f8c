"""axe-core finds nothing to complain about, on any screen in both themes; and 360 px are enough."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from artscraper_gateway.auth.keys import KeyStore
from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import GatewayProcess
from artscraper_gateway.tests.web.screens import Studio, picture_bytes

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LONG = f"{'a very long name without an end ' * 6}{'x' * 80}.png"


def protect(studio: Studio, _job_id: str) -> None:
    studio.page.locator("#stages input").first.wait_for()


def protect_with_tray(studio: Studio, _job_id: str) -> None:
    """Everything that the first screen can show: a tray with a refusal, an alert, a long name."""
    good, huge = studio.file("x.png"), studio.file("huge.png", b"x" * 700_000)
    named = {"name": LONG, "mimeType": "image/png", "buffer": picture_bytes()}
    studio.choose_stages()
    studio.page.locator("#files").set_input_files([good, huge])
    studio.page.locator("#files").set_input_files([named])  # type: ignore[list-item]
    studio.page.locator("#send").click()
    expect(studio.page.locator("#submit-wrong")).not_to_be_empty()


def job(studio: Studio, job_id: str) -> None:
    studio.open(f"/#/jobs/{job_id}")
    studio.sees_pictures()


def job_in_pixels(studio: Studio, job_id: str) -> None:
    job(studio, job_id)
    studio.page.get_by_role("radio", name="200%").check()
    studio.sees_pictures()


def job_change(studio: Studio, job_id: str) -> None:
    job(studio, job_id)
    studio.page.get_by_role("radio", name="The change, amplified").check()
    studio.sees_pictures()


def no_job(studio: Studio, _job_id: str) -> None:
    studio.open(f"/#/jobs/{'0' * 32}")
    expect(studio.page.locator("main")).to_contain_text("it was deleted")


def watermark(studio: Studio, job_id: str) -> None:
    studio.open("/#/watermark")
    layer = f"{studio.base_url}/v1/jobs/{job_id}/layers/invisible-watermark"
    found = studio.file("found.png", studio.page.request.get(layer).body())
    studio.page.locator("#watermark-file").set_input_files(found)
    expect(studio.page.locator("#watermark-answer")).to_contain_text("carries a mark")


def confirmation(studio: Studio, job_id: str) -> None:
    job(studio, job_id)
    studio.page.get_by_role("button", name="Delete").click()
    expect(studio.page.get_by_role("dialog")).to_be_visible()


def reference(studio: Studio, _job_id: str) -> None:
    studio.open("/docs")
    for operation in ("submit_job", "list_jobs"):
        studio.page.locator(f'details[id^="{operation}"] > summary').click()
    listing = studio.page.locator('details[id^="list_jobs"]')
    listing.locator("details > summary").first.click()
    listing.get_by_role("button", name="Send").click()
    listing.locator(".came pre").wait_for()


SCREENS = [
    protect,
    protect_with_tray,
    job,
    job_in_pixels,
    job_change,
    no_job,
    watermark,
    confirmation,
    reference,
]


def violations(page: Page) -> list[str]:
    page.evaluate(AXE.read_text("utf-8"))  # as a debugger would: the page's policy stays as it is
    found: dict[str, Any] = page.evaluate(
        "(tags) => axe.run({ runOnly: { type: 'tag', values: tags } })", RULES
    )
    assert found["passes"], "axe looked at nothing"
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


def is_too_wide(page: Page) -> bool:
    wide: bool = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return wide


@pytest.mark.parametrize("show", SCREENS, ids=lambda show: show.__name__)
def test_no_screen_has_violations_or_overflows(
    show: Callable[[Studio, str], None],
    open_studio: Callable[..., Studio],
    studio_gateway: GatewayProcess,
    done_job: str,
) -> None:
    studio = open_studio(studio_gateway.base_url)
    show(studio, done_job)
    for theme in ("light", "dark"):
        studio.page.evaluate("(theme) => { document.documentElement.dataset.theme = theme }", theme)
        assert violations(studio.page) == [], theme
    for width in (1100, 360):
        studio.page.set_viewport_size({"width": width, "height": 740})
        assert not is_too_wide(studio.page), f"it is too wide for {width} px"
    assert violations(studio.page) == [], "at 360 px"


def test_the_sign_in_has_no_violations(
    open_studio: Callable[..., Studio], start_gateway: Callable[..., GatewayProcess]
) -> None:
    gateway = start_gateway(worker_concurrency=0)
    engine = open_engine(GatewayConfig(base_dir=gateway.base_dir))
    KeyStore(engine).add("painter")
    engine.dispose()
    studio = open_studio(gateway.base_url)
    expect(studio.page.get_by_role("heading", level=1)).to_have_text("Sign in")
    for theme in ("light", "dark"):
        studio.page.evaluate("(theme) => { document.documentElement.dataset.theme = theme }", theme)
        assert violations(studio.page) == [], theme


def test_a_phone_from_upload_to_comparison(
    open_studio: Callable[..., Studio], studio_gateway: GatewayProcess
) -> None:
    studio = open_studio(
        studio_gateway.base_url, viewport={"width": 360, "height": 740}, has_touch=True
    )
    studio.choose_stages("Hidden mark")
    studio.add(studio.file("phone.png"))
    studio.page.locator("#send").tap()
    studio.is_done("phone.png")
    studio.row("phone.png").get_by_role("link").tap()
    studio.sees_pictures()
    slider = studio.page.get_by_role("slider")
    box = slider.bounding_box()
    assert box is not None and box["width"] <= 360
    slider.focus()
    slider.tap(position={"x": box["width"] * 0.8, "y": box["height"] / 2})
    expect(slider).to_have_attribute("aria-valuenow", "80")
    assert not is_too_wide(studio.page)
