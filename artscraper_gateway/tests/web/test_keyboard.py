"""Everything by keyboard, from the upload to the deletion."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from artscraper_gateway.tests.web.page_object import PageObject, picture_bytes


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the element of this accessible name or text has the focus."""
    script = """() => {
      const it = document.activeElement;
      if (!it.matches("a, button, input, select, summary, [role=slider]")) return "";
      const own = it.getAttribute("aria-label") ?? it.labels?.[0]?.innerText ?? it.innerText;
      return own ?? "";
    }"""
    for _ in range(80):
        page.keyboard.press("Tab")
        if name in page.evaluate(script):
            return
    raise AssertionError(f"Tab does not lead to {name}")


def test_keyboard_covers_upload_to_deletion(app: PageObject) -> None:
    page = app.page
    page.on("filechooser", lambda chooser: chooser.set_files(app.file("keys.png")))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    tab_to(page, "Advanced")
    page.keyboard.press("Enter")
    for stage in ("Grey veil", "Pattern", "Another subject"):
        tab_to(page, stage)
        page.keyboard.press("Space")
    page.get_by_role("heading", level=1).focus()
    tab_to(page, "Choose pictures")
    page.keyboard.press("Enter")
    expect(page.locator("#uploads .name")).to_have_text("keys.png")
    expect(page.locator("#send")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#strength-medium")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#strength-low")).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("keys.png")
    app.wait_for_result()
    expect(page.locator(".download")).to_be_focused()
    with page.expect_download():
        page.keyboard.press("Enter")
    tab_to(page, "Fit")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="100%")).to_be_checked()
    tab_to(page, "Compare the original")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuenow", "52")
    page.get_by_role("heading", level=1).focus()
    tab_to(page, "Delete")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Protect your pictures")
    expect(app.row("keys.png")).to_have_count(0)
    tab_to(page, "Undo")
    page.keyboard.press("Enter")
    expect(app.row("keys.png")).to_have_count(1)


def test_preview_part_moves_by_keys(app: PageObject) -> None:
    app.add(app.file("wide.jpg", picture_bytes(900, 400, "JPEG")))
    frame = app.page.get_by_role("slider", name="Part of the picture to preview")
    expect(frame).to_be_visible()
    before = frame.get_attribute("aria-valuetext")
    frame.press("ArrowLeft" if "100 % from" in (before or "") else "ArrowRight")
    expect(frame).not_to_have_attribute("aria-valuetext", before or "")
