"""axe-core reports no violation on any screen, in both themes, at 1280 and 390 px."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from artscraper_gateway.auth.keys import KeyStore
from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import GatewayProcess
from artscraper_gateway.tests.web.page_object import PageObject, picture_bytes

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LONG = f"{'a very long name without an end ' * 6}{'x' * 80}.png"


def protect(app: PageObject, _job_id: str) -> None:
    app.page.locator("#advanced > summary").click()


def protect_with_uploads(app: PageObject, _job_id: str) -> None:
    """Show everything that the first screen has: a refusal, an alert, a long name, a preview."""
    good, huge = app.file("x.png"), app.file("huge.png", b"x" * 700_000)
    named = {"name": LONG, "mimeType": "image/png", "buffer": picture_bytes()}
    app.choose_stages()
    app.page.locator("#files").set_input_files([good, huge])
    app.page.locator("#files").set_input_files([named])  # type: ignore[list-item]
    app.page.locator("#send").click()
    expect(app.page.locator("#submit-error")).not_to_be_empty()
    app.page.locator("#preview-map").wait_for()


def drop_overlay(app: PageObject, _job_id: str) -> None:
    app.page.evaluate(
        """() => {
          const transfer = new DataTransfer();
          transfer.items.add(new File(["x"], "x.png"));
          const init = { bubbles: true, dataTransfer: transfer };
          document.body.dispatchEvent(new DragEvent("dragenter", init));
        }"""
    )
    app.page.locator("#drop-overlay").wait_for()


def job(app: PageObject, job_id: str) -> None:
    app.open(f"/#/jobs/{job_id}")
    app.wait_for_result()
    app.open_details()
    app.page.locator(".chart rect").first.wait_for()


def job_in_pixels(app: PageObject, job_id: str) -> None:
    app.open(f"/#/jobs/{job_id}")
    app.wait_for_result()
    app.page.get_by_role("radio", name="200%").check()
    app.wait_for_result()


def job_change(app: PageObject, job_id: str) -> None:
    app.open(f"/#/jobs/{job_id}")
    app.wait_for_result()
    app.page.get_by_role("radio", name="What changed").check()
    app.wait_for_result()


def no_job(app: PageObject, _job_id: str) -> None:
    app.open(f"/#/jobs/{'0' * 32}")
    expect(app.page.locator("main")).to_contain_text("it was deleted")


def watermark(app: PageObject, job_id: str) -> None:
    app.open("/#/watermark")
    layer = f"{app.base_url}/v1/jobs/{job_id}/layers/invisible-watermark"
    found = app.file("found.png", app.page.request.get(layer).body())
    app.page.locator("#watermark-file").set_input_files(found)
    expect(app.page.locator("#watermark-answer")).to_contain_text("carries a mark")


def deleted(app: PageObject, _job_id: str) -> None:
    """Show the message to undo, for a separate job: closing the page deletes it."""

    def refuse_deletion(route: Route) -> None:
        if route.request.method == "DELETE":
            route.abort()
        else:
            route.continue_()

    app.send(app.file("deleted.png"))
    app.wait_for_result()
    app.page.route("**/v1/jobs/*", refuse_deletion)
    app.page.get_by_role("button", name="Delete").click()
    expect(app.page.locator("#undo")).to_be_visible()


def opt_out(app: PageObject, _job_id: str) -> None:
    app.page.goto(f"{app.base_url}/opt-out")
    app.page.get_by_role("heading", name="robots.txt").wait_for()


SCREENS = [
    protect,
    protect_with_uploads,
    drop_overlay,
    job,
    job_in_pixels,
    job_change,
    no_job,
    watermark,
    deleted,
    opt_out,
]


def violations(page: Page) -> list[str]:
    page.evaluate(AXE.read_text("utf-8"))  # through the debugger: the page's policy stays in force
    report: dict[str, Any] = page.evaluate(
        "(tags) => axe.run({ runOnly: { type: 'tag', values: tags } })", RULES
    )
    assert report["passes"], "axe examined nothing"
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
        for each in report["violations"]
        for node in each["nodes"]
    ]


def is_too_wide(page: Page) -> bool:
    wide: bool = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return wide


@pytest.mark.parametrize("show", SCREENS, ids=lambda show: show.__name__)
def test_no_screen_has_violations_or_overflows(
    show: Callable[[PageObject, str], None],
    open_page: Callable[..., PageObject],
    shared_gateway: GatewayProcess,
    done_job: str,
) -> None:
    app = open_page(shared_gateway.base_url)
    show(app, done_job)
    for theme in ("light", "dark"):
        app.page.evaluate("(theme) => { document.documentElement.dataset.theme = theme }", theme)
        assert violations(app.page) == [], theme
    for width in (1280, 390, 320):
        app.page.set_viewport_size({"width": width, "height": 844})
        assert not is_too_wide(app.page), f"it is too wide for {width} px"
    assert violations(app.page) == [], "at 320 px"


def test_sign_in_has_no_violations(
    open_page: Callable[..., PageObject], start_gateway: Callable[..., GatewayProcess]
) -> None:
    gateway = start_gateway(worker_concurrency=0)
    engine = open_engine(GatewayConfig(base_dir=gateway.base_dir))
    KeyStore(engine).add("painter")
    engine.dispose()
    app = open_page(gateway.base_url)
    expect(app.page.get_by_role("heading", level=1)).to_have_text("Sign in")
    for theme in ("light", "dark"):
        app.page.evaluate("(theme) => { document.documentElement.dataset.theme = theme }", theme)
        assert violations(app.page) == [], theme


def test_phone_covers_upload_to_comparison(
    open_page: Callable[..., PageObject], shared_gateway: GatewayProcess
) -> None:
    app = open_page(shared_gateway.base_url, viewport={"width": 390, "height": 844}, has_touch=True)
    app.choose_stages("Hidden mark")
    app.add(app.file("phone.png"))
    expect(app.page.locator("#send")).to_be_in_viewport()
    app.page.locator("#send").tap()
    app.wait_for_result()
    expect(app.page.locator(".download")).to_be_in_viewport()
    slider = app.page.get_by_role("slider")
    box = slider.bounding_box()
    assert box is not None and box["width"] <= 390
    slider.focus()
    slider.tap(position={"x": box["width"] * 0.8, "y": box["height"] / 2})
    expect(slider).to_have_attribute("aria-valuenow", "80")
    assert not is_too_wide(app.page)
