"""Everything by keyboard, from the upload to the deletion."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from artscraper_gateway.tests.web.page_object import PageObject


def tab_to(page: Page, name: str) -> None:
    """Presses Tab until the element of this accessible name or text has the focus."""
    script = """() => {
      const it = document.activeElement;
      if (!it.matches("a, button, input, select, [role=slider]")) return "";
      const own = it.getAttribute("aria-label") ?? it.labels?.[0]?.innerText ?? it.innerText;
      return own ?? "";
    }"""
    for _ in range(80):
        page.keyboard.press("Tab")
        if name in page.evaluate(script):
            return
    raise AssertionError(f"Tab does not lead to {name}")


def test_from_upload_to_deletion(app: PageObject) -> None:
    page = app.page
    page.on("filechooser", lambda chooser: chooser.set_files(app.file("keys.png")))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    tab_to(page, "Choose pictures")
    page.keyboard.press("Enter")
    expect(page.locator("#tray .name")).to_have_text("keys.png")
    tab_to(page, "Balanced")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("radio", name="Gentle")).to_be_checked()
    for stage in ("Grey veil", "Pattern", "Another subject"):
        tab_to(page, stage)
        page.keyboard.press("Space")
    tab_to(page, "Protect 1 picture")
    page.keyboard.press("Enter")
    expect(page.locator("#jobs-heading")).to_be_focused()
    app.is_done("keys.png")
    tab_to(page, "keys.png")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    app.sees_pictures()
    tab_to(page, "Fit")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="100%")).to_be_checked()
    tab_to(page, "Comparison")
    tab_to(page, "Compare the original")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuenow", "52")
    tab_to(page, "Download the protected picture")
    with page.expect_download():
        page.keyboard.press("Enter")
    page.get_by_role("heading", level=1).focus()
    tab_to(page, "Delete")
    page.keyboard.press("Enter")
    tab_to(page, "Delete it")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Protect your pictures")
    expect(app.row("keys.png")).to_have_count(0)
