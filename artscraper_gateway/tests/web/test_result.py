"""The page of a job: compare, enlarge, step through the layers, understand; read a watermark."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal

import pytest
from playwright.sync_api import expect

from artscraper_gateway.tests.gateway_process import GatewayProcess
from artscraper_gateway.tests.web.page_object import PageObject, picture_bytes


@pytest.fixture
def job(
    open_page: Callable[..., PageObject], shared_gateway: GatewayProcess, done_job: str
) -> PageObject:
    """The page, at a job with two layers."""
    app = open_page(shared_gateway.base_url, f"/#/jobs/{done_job}")
    app.sees_pictures()
    return app


def test_the_divider_by_keys_and_by_mouse(job: PageObject) -> None:
    slider = job.page.get_by_role("slider")
    expect(slider).to_have_attribute("aria-valuenow", "50")
    slider.focus()
    for key, value in (
        ("ArrowRight", "52"),
        ("ArrowLeft", "50"),
        ("PageUp", "60"),
        ("Home", "0"),
        ("ArrowLeft", "0"),
        ("End", "100"),
        ("PageDown", "90"),
    ):
        slider.press(key)
        expect(slider).to_have_attribute("aria-valuenow", value)
    expect(slider).to_have_attribute("aria-valuetext", "90% original")
    box = slider.bounding_box()
    assert box is not None
    job.page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 50)
    job.page.mouse.down()
    job.page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 50)
    job.page.mouse.up()
    expect(slider).to_have_attribute("aria-valuenow", "25")


def test_pixels_layers_and_the_change(job: PageObject) -> None:
    page = job.page
    view = page.locator(".stage-view")
    page.get_by_role("radio", name="400%").check()
    job.sees_pictures()
    box = view.locator("img").first.bounding_box() or {}
    assert (box["width"], box["height"]) == (480 * 4, 320 * 4)
    sources = [image.get_attribute("src") or "" for image in view.locator("img").all()]
    assert not any("size=" in source for source in sources), "a preview is not the file's pixels"
    region = page.get_by_role("region", name=re.compile("enlarged"))
    before = region.evaluate("(it) => it.scrollLeft")
    region.focus()
    region.press("ArrowRight")
    expect(region).not_to_have_js_property("scrollLeft", before)
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuenow", "50")
    page.get_by_role("radio", name="Grey veil").check()
    expect(view.locator("img").last).to_have_attribute("src", re.compile("layers/photoguard$"))
    page.get_by_role("radio", name="The change, amplified").check()
    change = page.get_by_role("img", name=re.compile("Grey veil changed"))
    expect(change).not_to_have_js_property("naturalWidth", 0)
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download this step").click()
    assert downloading.value.suggested_filename.endswith("-photoguard.png")


def as_browsers_say(value: float) -> str:
    """Two digits; browsers round the written number, halves up."""
    return str(Decimal(str(value)).quantize(Decimal("0.01"), ROUND_HALF_UP))


def test_the_metrics_in_words_then_in_figures(job: PageObject) -> None:
    job_id = job.page.url.rsplit("/", 1)[1]
    result = job.page.request.get(f"{job.base_url}/v1/jobs/{job_id}/result").json()
    attack, mark = (layer["metrics"] for layer in result["summary"]["layers"][1:])
    words = job.page.locator(".words li")
    expect(words.first).to_contain_text(f"at most {mark['linf']} of 255 steps")
    times = attack["final"]["times_noise"]["plain"]
    expect(words.nth(1)).to_contain_text(as_browsers_say(times).rstrip("0").rstrip("."))
    expect(job.page.locator(".words")).to_contain_text("hidden mark, which was read back")
    limits = job.page.get_by_role("heading", name="What it does not do")
    expect(limits).to_be_visible()
    row = job.page.get_by_role("row", name="Grey veil")
    expect(row.get_by_role("cell").first).to_have_text(str(attack["linf"]))
    expect(row).to_contain_text(as_browsers_say(attack["times_noise"]["jpeg_75"]))
    chart = job.page.get_by_role("img", name=re.compile("Grey veil: .* after JPEG 75"))
    assert chart.locator("rect").count() == 3


def test_words_for_what_the_shown_job_has_not(app: PageObject) -> None:
    """Metrics of stages that are rare or not installed here, as summary.json may have them."""
    said = app.page.evaluate(
        """async () => {
          const { achieved } = await import("./static/explanation.js");
          const change = { linf: 9, psnr_db: 34, ssim: 0.9 };
          const times_noise = { plain: 1.1, jpeg_75: null, halved: 1 };
          const unattacked = { encoder: "taef2", error: "the file is damaged" };
          const seen = { times_noise, effective: false, encoder: "bundled", unattacked };
          const attack = { ...change, ...seen };
          const face = (plain) => ({ distance: { plain, jpeg_75: 0.6 }, threshold: 0.6 });
          const faces = [face(0.71), face(0.9)];
          return achieved([
            { stage: "original", applied: true },
            { stage: "fawkes", applied: true, metrics: { ...change, faces } },
            { stage: "mist", applied: true, metrics: attack },
            { stage: "stegano-embed", applied: false, reason: "saved as JPEG", metrics: change },
          ]);
        }"""
    )
    text = "\n".join(said)
    assert "can be seen in smooth areas" in text
    assert "1.1 times as far as noise of the same size; after JPEG 75: – times" in text
    assert "is not known: taef2 could not be used (the file is damaged)." in text
    assert "2 faces found; the nearest distance is now 0.71" in text
    assert "threshold is 0.6. From this distance on it takes them for somebody else." in text
    assert "Pattern: by itself moves the encoder hardly further than plain noise" in text
    assert "Hidden text was not applied: saved as JPEG." in text


def test_reading_a_watermark(job: PageObject) -> None:
    job_id = job.page.url.rsplit("/", 1)[1]
    layer = f"{job.base_url}/v1/jobs/{job_id}/layers/invisible-watermark"
    marked = job.file("found.png", job.page.request.get(layer).body())
    job.page.get_by_role("link", name="Read a watermark").click()
    expect(job.page.get_by_role("heading", level=1)).to_be_focused()
    job.page.locator("#watermark-file").set_input_files(marked)
    answer = job.page.locator("#watermark-answer")
    expect(answer).to_contain_text("This picture carries a mark")
    answer.get_by_role("link", name="Open the job").click()
    expect(job.page.get_by_role("heading", level=1)).to_contain_text("Picture of")
    job.page.get_by_role("link", name="Read a watermark").click()
    job.give("drop", "#watermark-drop", "plain.png", picture_bytes(300, 300, seed=9))
    expect(answer).to_contain_text("No mark was found")
    job.give("paste", "body", "image.png", b"no picture")
    expect(answer).to_contain_text("not a picture this gateway can read")
