"""Takes every screen in both themes, for somebody to look at: `make screenshots`."""

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

SIZES = {"wide": (1280, 900), "phone": (360, 740)}
ASTRONAUT = REPOSITORY / "input" / "astronaut.jpg"
JOBS = 100
PATIENCE_MS = 180_000
ALL_THUMBNAILS = """() => {
  const images = [...document.querySelectorAll("img.thumb")];
  const empty = images.find((image) => image.checkVisibility() && !image.naturalWidth);
  empty?.scrollIntoView({ block: "center" });
  return !empty;
}"""
WHOLE_LIST = ".job { content-visibility: visible }"  # rows out of sight are not drawn else
Shot = Callable[[PageObject], None]


def main(out: Path) -> None:
    """Writes <screen>-<theme>-<size>.png into `out`."""
    expect.set_options(timeout=PATIENCE_MS)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        gateway = GatewayProcess(Path(home)).start()
        try:
            with gateway.client() as client:
                shots = prepared(client, Path(home))
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
    """24 megapixels, smooth and lively."""
    path = Path(tempfile.mkdtemp()) / "large.jpg"
    rng = np.random.default_rng(3)
    coarse = Image.fromarray(rng.integers(0, 256, (30, 45, 3), np.uint8))
    coarse.resize((6000, 4000), Image.Resampling.BICUBIC).save(path, quality=90)
    content = path.read_bytes()
    shutil.rmtree(path.parent)
    return content


def prepared(client: httpx.Client, home: Path) -> dict[str, Shot]:
    """Fills the gateway and returns what is to be shown; an empty list comes first."""
    wait = {"files": {"file": ASTRONAUT.read_bytes()}}
    job = client.post("/v1/jobs", **wait, headers={"Prefer": "wait=170"}).json()["job_id"]
    large = submit(client, large_picture(), stages="invisible-watermark")
    marked = home / "marked.jpg"
    layer = client.get(f"/v1/jobs/{job}/layers/invisible-watermark")
    marked.write_bytes(layer.content)
    cheap = {"include_protection": "false", "include_hash_analysis": "false"}
    files = [("file", picture_bytes(96, 72, seed=index)) for index in range(JOBS)]
    client.post("/v1/batches", files=files, data=cheap).raise_for_status()

    def tray(app: PageObject) -> None:
        named = {"name": LONG, "mimeType": "image/png", "buffer": picture_bytes()}
        app.page.locator("#files").set_input_files([ASTRONAUT])
        app.page.locator("#files").set_input_files([named])  # type: ignore[list-item]
        app.add(app.file("words.txt", b"no picture"))

    def shown(job_id: str, choice: str | None = None) -> Shot:
        def show(app: PageObject) -> None:
            app.open(f"/#/jobs/{job_id}")
            app.sees_pictures()
            app.page.locator("table").wait_for()
            if choice:
                app.page.get_by_role("radio", name=choice).check()
                app.sees_pictures()

        return show

    def reading(app: PageObject) -> None:
        app.open("/#/watermark")
        app.page.locator("#watermark-file").set_input_files(marked)
        app.page.locator("#watermark-answer h2").wait_for()

    return {
        "protect": lambda app: app.page.locator("#jobs-list img[src]").first.wait_for(),
        "tray": tray,
        "job": shown(job),
        "job-change": shown(job, "The change, amplified"),
        "job-24-megapixels": shown(large, "100%"),
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
        with tempfile.TemporaryDirectory() as folder:
            app = PageObject(context.new_page(), base_url, Path(folder))
            app.open("/")
            app.page.locator("#jobs-list li").nth(4).scroll_into_view_if_needed()
            show(app)
            app.page.add_style_tag(content=WHOLE_LIST)
            for theme in ("light", "dark"):
                app.page.get_by_label("Colours").select_option(theme)
                app.page.wait_for_function(ALL_THUMBNAILS, timeout=PATIENCE_MS)
                app.page.evaluate("window.scrollTo(0, 0)")
                path = out / f"{name}-{theme}-{size}.png"
                app.page.screenshot(path=path, full_page=True)
        context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
