"""The page of a finished job: verdict, comparison, details; gentler and stronger; watermarks."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal

import pytest
from playwright.sync_api import expect

from artscraper_gateway.tests.gateway_process import GatewayProcess, until
from artscraper_gateway.tests.web.page_object import PageObject, picture_bytes


@pytest.fixture
def job(
    open_page: Callable[..., PageObject], shared_gateway: GatewayProcess, done_job: str
) -> PageObject:
    """The page, at a job with two layers."""
    app = open_page(shared_gateway.base_url, f"/#/jobs/{done_job}")
    app.wait_for_result()
    return app


def test_divider_moves_by_keys_and_mouse(job: PageObject) -> None:
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


def test_result_shows_pixels_layers_and_the_change(job: PageObject) -> None:
    page = job.page
    view = page.locator(".stage-view")
    page.get_by_role("radio", name="400%").check()
    job.wait_for_result()
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
    page.get_by_role("radio", name="What changed").check()
    change = page.get_by_role("img", name=re.compile("Grey veil changed"))
    expect(change).not_to_have_js_property("naturalWidth", 0)
    expect(page.locator(".viewer-hint")).to_contain_text("What the step “Grey veil” changed")
    expect(page.get_by_role("radio", name="400%")).to_be_disabled()
    page.get_by_role("radio", name="Comparison").check()
    expect(page.get_by_role("radio", name="400%")).to_be_enabled()
    job.open_details()
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download this step: Grey veil").click()
    assert downloading.value.suggested_filename.endswith("-photoguard.png")


def format_as_browsers(value: float) -> str:
    """Format with two digits; browsers round the decimal number, halves up."""
    return str(Decimal(str(value)).quantize(Decimal("0.01"), ROUND_HALF_UP))


def test_result_shows_verdict_and_details(job: PageObject) -> None:
    verdict = job.page.locator(".verdict")
    expect(verdict.get_by_role("heading", level=3)).to_have_text(
        ["Can it be seen?", "Does it do something?", "Faces"]
    )
    expect(verdict).to_contain_text("Not looked for: the face cloak was not chosen.")
    expect(job.page.locator("table")).to_be_hidden()
    job.page.locator("#details > summary").click()
    attack, mark = (layer["metrics"] for layer in job.result()[1:])
    assert isinstance(attack, dict) and isinstance(mark, dict)
    details = job.page.locator("#details")
    expect(details).to_contain_text(f"at most {mark['linf']} of 255 steps")
    times = attack["final"]["times_noise"]["plain"]
    expect(details).to_contain_text(f"{format_as_browsers(times).rstrip('0').rstrip('.')} times")
    expect(details).to_contain_text("hidden mark, which was read back")
    expect(details).to_contain_text("What it does not do")
    row = job.page.get_by_role("row", name="Grey veil")
    expect(row.get_by_role("cell").first).to_have_text(str(attack["linf"]))
    expect(row).to_contain_text(format_as_browsers(attack["times_noise"]["plain"]))
    name = re.compile("Grey veil: .* as saved; The result: .* after JPEG 75")
    chart = job.page.get_by_role("img", name=name)
    expect(chart.locator("rect")).to_have_count(1 + 3)


def test_chart_letters_keep_their_size(job: PageObject) -> None:
    job.open_details()
    chart = job.page.locator(".chart > svg")
    drawn = "(it) => it.viewBox.baseVal.width === Math.round(it.getBoundingClientRect().width)"
    for width in (1100, 400):
        job.page.set_viewport_size({"width": width, "height": 800})
        until(lambda: chart.evaluate(drawn), what="the chart is drawn anew")


JUDGE = """async (layers) => {
  const verdict = await import("./static/verdict.js");
  const { sentences } = await import("./static/sentences.js");
  return {
    seen: verdict.visibilityLevel(layers),
    effect: verdict.effectLevel(layers),
    faces: verdict.faceResults(layers),
    text: sentences(layers).join("\\n"),
  };
}"""
ORIGINAL = {"stage": "original", "applied": True}
CHANGE = {"linf": 9, "psnr_db": 37, "ssim": 0.96}


def attack(**metrics: object) -> dict[str, object]:
    times = {"plain": 2.0, "jpeg_75": 1.6, "halved": 1.9}
    defaults = {**CHANGE, "times_noise": times, "effective": True, "encoder": "bundled"}
    return {"stage": "mist", "applied": True, "metrics": {**defaults, **metrics}}


def test_verdict_on_an_effective_change(app: PageObject) -> None:
    judged = app.page.evaluate(JUDGE, [ORIGINAL, attack()])
    assert (judged["seen"], judged["effect"], judged["faces"]) == ("hardly", "yes", None)


@pytest.mark.parametrize(
    ("visibility", "level"), [(1.0, "no"), (1.2, "hardly"), (2.2, "yes"), (None, "hardly")]
)
def test_verdict_uses_modelled_visibility(
    app: PageObject, visibility: float | None, level: str
) -> None:
    judged = app.page.evaluate(JUDGE, [ORIGINAL, attack(visibility=visibility)])
    assert judged["seen"] == level
    assert ("Visibility" in judged["text"]) == (visibility is not None)


def test_verdict_on_a_change_no_better_than_noise(app: PageObject) -> None:
    times = {"plain": 1.1, "jpeg_75": None, "halved": 1}
    unattacked = {"encoder": "taef2", "error": "the file is damaged"}
    layer = attack(times_noise=times, effective=False, unattacked=unattacked)
    judged = app.page.evaluate(JUDGE, [ORIGINAL, layer])
    assert judged["effect"] == "noise"
    assert "1.1 times as far as random noise of the same size; – times" in judged["text"]
    assert "unknown: taef2 could not be used." in judged["text"]
    assert "Pattern: hardly more than noise by itself" in judged["text"]


def test_verdict_follows_the_runner(app: PageObject) -> None:
    shaped = {"plain": 1.5, "jpeg_75": 1.4, "halved": 1.4}
    for verdict, level in (("no protection beyond noise", "noise"), (None, "yes")):
        final = {
            "encoder": "bundled",
            "effect": {"plain": 0.31},
            "clean_jpeg_75_effect": 0.44,
            "times_noise": {"plain": 2.0, "jpeg_75": 1.6, "halved": 1.9},
            "times_shaped_noise": shaped,
            "verdict": verdict,
        }
        judged = app.page.evaluate(JUDGE, [ORIGINAL, attack(effective=False, final=final)])
        assert judged["effect"] == level
        assert "noise that looks like the change: 1.5 times" in judged["text"]
        assert "moves by 0.31; saving the clean picture as JPEG 75 alone" in judged["text"]


def test_effect_removed_by_jpeg_is_called_small(app: PageObject) -> None:
    layer = attack(times_noise={"plain": 2.0, "jpeg_75": 1.1, "halved": 1.9})
    assert app.page.evaluate(JUDGE, [ORIGINAL, layer])["effect"] == "little"


def test_verdict_on_each_face(app: PageObject) -> None:
    def face(plain: float) -> dict[str, object]:
        return {"box": [1, 2, 30, 30], "distance": {"plain": plain}, "threshold": 0.6}

    faces = {**CHANGE, "faces": [face(0.71), face(0.4)]}
    cloak = {"stage": "fawkes", "applied": True, "metrics": faces}
    skipped = {"stage": "stegano-embed", "applied": False, "reason": "which would destroy it"}
    judged = app.page.evaluate(JUDGE, [ORIGINAL, cloak, skipped])
    assert [each["isHidden"] for each in judged["faces"]] == [True, False]
    assert judged["effect"] == "none"
    assert "Face 1: distance 0.71" in judged["text"]
    assert "Hidden text was not applied: the file format does not allow it." in judged["text"]


def test_single_pixel_picture_has_a_verdict_without_measurements(app: PageObject) -> None:
    app.send(app.file("dot.png", picture_bytes(1, 1)), stages=("Grey veil", "Hidden mark"))
    app.wait_for_result()
    lines = app.page.locator(".verdict > ul > li")
    expect(lines.nth(0)).to_contain_text(re.compile("No[.,] "))
    expect(lines.nth(1)).to_contain_text("so small that this cannot be judged")
    app.open_details()
    expect(app.page.locator("#details")).to_contain_text("Hidden mark was not applied: the picture")


def test_unchanged_picture_is_not_called_protected(app: PageObject) -> None:
    app.send(app.file("dot.png", picture_bytes(1, 1)), stages=("Hidden mark",))
    app.wait_for_result()
    expect(app.page.locator(".result-side .notice")).to_contain_text("was not protected")
    expect(app.page.locator(".verdict")).to_contain_text("No. The pixels are those")


def test_job_is_repeated_gentler_and_stronger(job: PageObject) -> None:
    before = job.job_id()
    job.page.get_by_role("button", name="Again, gentler").click()
    expect(job.page).not_to_have_url(re.compile(before))
    job.wait_for_result()
    layers = job.result()
    assert [layer["stage"] for layer in layers] == ["original", "photoguard", "invisible-watermark"]
    metrics = layers[1]["metrics"]
    assert isinstance(metrics, dict) and metrics["strength"] == "low"
    expect(job.page.get_by_role("button", name="Again, gentler")).to_have_count(0)
    expect(job.page.get_by_role("button", name="Again, stronger")).to_be_visible()


def test_strength_preview_shows_three_and_leaves_no_jobs(app: PageObject) -> None:
    app.choose_stages("Grey veil", "Face cloak")
    before = app.page.request.get(f"{app.base_url}/v1/jobs").json()["jobs"]
    app.add(app.file("try.jpg", picture_bytes(600, 620, "JPEG")))
    app.page.get_by_role("button", name="Show the three strengths").click()
    tiles = app.page.locator("#preview [data-strength] canvas")
    expect(tiles).to_have_count(3, timeout=120_000)
    drawn = tiles.evaluate_all("(all) => all.map((it) => [it.width, it.height, it.toDataURL()])")
    assert [each[:2] for each in drawn] == [[256, 256]] * 3
    original = app.page.locator("#preview-original canvas").evaluate("(it) => it.toDataURL()")
    assert len({original, *(each[2] for each in drawn)}) == 4, "the strengths look the same"
    app.page.locator("#preview label[data-strength=high]").click()
    expect(app.page.locator("#strength-high")).to_be_checked()
    assert app.page.request.get(f"{app.base_url}/v1/jobs").json()["jobs"] == before


def test_strength_preview_needs_a_previewable_step(app: PageObject) -> None:
    app.choose_stages("Do-not-train statement")
    app.add(app.file("try.png"))
    app.page.get_by_role("button", name="Show the three strengths").click()
    error = app.page.locator("#preview-error")
    expect(error).to_have_text("None of the chosen steps can be previewed.")
    app.choose_stages("Grey veil")
    app.page.get_by_role("button", name="Show the three strengths").click()
    expect(app.page.locator("#preview [data-strength] canvas")).to_have_count(3)
    expect(error).to_be_empty()


def test_preview_finds_the_smoothest_place(app: PageObject) -> None:
    left = app.page.evaluate(
        """async () => {
          const { smoothestSquare } = await import("./static/smooth_place.js");
          const [width, height] = [120, 80];
          const image = (value) => {
            const data = new Uint8ClampedArray(width * height * 4);
            for (let at = 0; at < width * height; at += 1) {
              data.fill(value(at % width, Math.floor(at / width)), at * 4, at * 4 + 4);
            }
            return { data, width, height };
          };
          const busyLeft = image((x, y) => (x < 70 ? ((x * 7919 + y * 104729) % 97) + 60 : 120));
          return smoothestSquare(busyLeft, 40).left;
        }"""
    )
    assert left >= 68


def test_verdict_cuts_out_the_most_visible_place(
    open_page: Callable[..., PageObject], shared_gateway: GatewayProcess, done_job: str
) -> None:
    app = open_page(shared_gateway.base_url)
    url = f"{app.base_url}/v1/jobs/{done_job}/result"
    result = app.page.request.get(url).json()
    last = result["summary"]["layers"][-1]["metrics"]
    assert all(0 <= share <= 1 for share in last["visibility_place"])
    last |= {"visibility": 1.2, "visibility_place": [0.75, 0.25]}
    app.page.route("**/result", lambda route: route.fulfill(json=result))
    app.open(f"/#/jobs/{done_job}")
    app.wait_for_result()
    expect(app.page.locator(".verdict")).to_contain_text("Hardly.")
    expect(app.page.locator(".verdict")).to_contain_text("Here it shows most:")
    cut = """async (canvas) => {
      const picture = new Image();
      picture.src = document.querySelector(".stage-view img[slot=first]").src;
      await picture.decode();
      const expected = document.createElement("canvas");
      expected.width = expected.height = canvas.width;
      expected.getContext("2d").drawImage(
        picture, 0.75 * 480 - 48, 0.25 * 320 - 48, 96, 96, 0, 0, 96, 96);
      return expected.toDataURL() === canvas.toDataURL();
    }"""
    assert app.page.locator(".place canvas").first.evaluate(cut)
    app.page.get_by_role("button", name="Look here").click()
    expect(app.page.locator("[name=zoom][data-index='2']")).to_be_checked()


def test_verdict_without_a_place_names_none(app: PageObject) -> None:
    texts = app.page.evaluate(
        """async () => {
          const { verdictPanel } = await import("./static/verdict_panel.js");
          const metrics = { linf: 9, psnr_db: 37, ssim: 0.96 };
          const original = { stage: "original", processing_size: [64, 64], applied: true };
          const layers = [original, { stage: "mist", applied: true, metrics }];
          return verdictPanel({ job_id: "0" }, layers, () => {}).textContent;
        }"""
    )
    assert "Hardly." in texts and "Here it shows most" not in texts


def test_page_reads_a_watermark(job: PageObject) -> None:
    layer = f"{job.base_url}/v1/jobs/{job.job_id()}/layers/invisible-watermark"
    marked = job.file("found.png", job.page.request.get(layer).body())
    job.page.get_by_role("link", name="Read a watermark").click()
    expect(job.page.get_by_role("heading", level=1)).to_be_focused()
    job.page.locator("#watermark-file").set_input_files(marked)
    answer = job.page.locator("#watermark-answer")
    expect(answer).to_contain_text("This picture carries a mark")
    answer.get_by_role("link", name="Open it").click()
    expect(job.page.get_by_role("heading", level=1)).to_have_text("finished.png")
    job.page.get_by_role("link", name="Read a watermark").click()
    job.transfer("drop", "footer", "plain.png", picture_bytes(300, 300, seed=9))
    expect(answer).to_contain_text("No mark was found")
    job.transfer("paste", "body", "image.png", b"no picture")
    expect(answer).to_contain_text("not a picture this gateway can read")
