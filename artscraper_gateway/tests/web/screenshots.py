"""Take every screen in both themes at 1280 and 390 px, to be looked at: `make screenshots`."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

from artscraper_gateway.tests.gateway_process import REPOSITORY, GatewayProcess
from artscraper_gateway.tests.web.page_object import PageObject, picture_bytes
from artscraper_gateway.tests.web.test_accessibility import LONG

SIZES = {"wide": (1280, 900), "phone": (390, 844)}
ASTRONAUT = REPOSITORY / "input" / "astronaut.jpg"
JOBS = 40
TIMEOUT_MS = 180_000
ALL_THUMBNAILS = """() => {
  const images = [...document.querySelectorAll("img.thumb")];
  const empty = images.find((image) => image.checkVisibility() && !image.naturalWidth);
  empty?.scrollIntoView({ block: "center" });
  return !empty;
}"""
WHOLE_LIST = ".job { content-visibility: visible }"  # else rows out of sight are not drawn
DRAG = """() => {
  const transfer = new DataTransfer();
  transfer.items.add(new File(["x"], "x.png"));
  const init = { bubbles: true, dataTransfer: transfer };
  document.body.dispatchEvent(new DragEvent("dragenter", init));
}"""
Shot = Callable[[PageObject], None]


def main(out: Path) -> None:
    """Write <screen>-<theme>-<size>.png into `out`."""
    expect.set_options(timeout=TIMEOUT_MS)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        gateway = GatewayProcess(Path(home)).start()
        try:
            with gateway.client() as client:
                shots = prepare(client, Path(home))
            for name, show in shots.items():
                take(browser, gateway.base_url, out, name, show)
        finally:
            gateway.stop()
            browser.close()


def submit(client: httpx.Client, picture: bytes, **fields: str) -> str:
    answer = client.post(
        "/v1/jobs", files={"file": picture}, data=fields, headers={"Prefer": "wait=170"}
    )
    job: dict[str, str] = answer.raise_for_status().json()
    return job["job_id"]


def large_picture() -> bytes:
    """Return 24 megapixels, smooth and busy."""
    path = Path(tempfile.mkdtemp()) / "large.jpg"
    rng = np.random.default_rng(3)
    coarse = Image.fromarray(rng.integers(0, 256, (30, 45, 3), np.uint8))
    coarse.resize((6000, 4000), Image.Resampling.BICUBIC).save(path, quality=90)
    content = path.read_bytes()
    shutil.rmtree(path.parent)
    return content


def prepare(client: httpx.Client, home: Path) -> dict[str, Shot]:
    """Fill the gateway and return how each screen is reached."""
    job = submit(client, ASTRONAUT.read_bytes())
    large = submit(client, large_picture(), stages="invisible-watermark")
    marked = home / "marked.jpg"
    layer = client.get(f"/v1/jobs/{job}/layers/invisible-watermark")
    marked.write_bytes(layer.content)
    cheap = {"include_protection": "false", "include_hash_analysis": "false"}
    files = [("file", picture_bytes(96, 72, seed=index)) for index in range(JOBS)]
    client.post("/v1/batches", files=files, data=cheap).raise_for_status()

    def uploads(app: PageObject) -> None:
        named = {"name": LONG, "mimeType": "image/png", "buffer": picture_bytes()}
        app.add(ASTRONAUT)
        app.page.locator("#files").set_input_files([named])  # type: ignore[list-item]
        app.add(app.file("words.txt", b"no picture"))
        app.page.locator("#preview-map").wait_for()

    def preview(app: PageObject) -> None:
        app.add(ASTRONAUT)
        app.page.locator("#preview-show").click()
        tiles = app.page.locator("#preview [data-strength] canvas")
        expect(tiles).to_have_count(3)

    def dragging(app: PageObject) -> None:
        app.page.evaluate(DRAG)

    def result(job_id: str, choice: str | None = None, details: bool = False) -> Shot:
        def show(app: PageObject) -> None:
            app.open(f"/#/jobs/{job_id}")
            app.wait_for_result()
            if details:
                app.open_details()
            if choice:
                app.page.get_by_role("radio", name=choice).check()
                app.wait_for_result()

        return show

    def reading(app: PageObject) -> None:
        app.open("/#/watermark")
        app.page.locator("#watermark-file").set_input_files(marked)
        app.page.locator("#watermark-answer h2").wait_for()

    return {
        "protect": lambda app: app.page.locator("#jobs-list img[src]").first.wait_for(),
        "uploads": uploads,
        "preview": preview,
        "dragging": dragging,
        "result": result(job),
        "result-details": result(job, details=True),
        "result-change": result(job, "What changed"),
        "result-24-megapixels": result(large, "100%"),
        "watermark": reading,
        "no-job": lambda app: app.open(f"/#/jobs/{'0' * 32}"),
    }


def take(browser: Browser, base_url: str, out: Path, name: str, show: Shot) -> None:
    for size, (width, height) in SIZES.items():
        viewport = {"width": width, "height": height}
        context = browser.new_context(
            viewport=viewport,  # type: ignore[arg-type]
            reduced_motion="reduce",
            bypass_csp=True,  # for WHOLE_LIST
        )
        context.set_default_timeout(TIMEOUT_MS)
        with tempfile.TemporaryDirectory() as folder:
            app = PageObject(context.new_page(), base_url, Path(folder))
            app.open("/")
            app.page.locator("#jobs-list li").nth(4).scroll_into_view_if_needed()
            show(app)
            app.page.add_style_tag(content=WHOLE_LIST)
            for theme in ("light", "dark"):
                app.page.get_by_label("Colours").select_option(theme)
                app.page.wait_for_function(ALL_THUMBNAILS, timeout=TIMEOUT_MS)
                app.page.evaluate("window.scrollTo(0, 0)")
                whole = name not in ("dragging", "result", "uploads", "preview")
                path = out / f"{name}-{theme}-{size}.png"
                app.page.screenshot(path=path, full_page=whole)
        context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
