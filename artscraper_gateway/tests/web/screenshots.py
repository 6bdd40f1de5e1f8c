"""Take every screen in both languages and themes at 1280 and 390 px: `make screenshots`."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from artscraper_gateway.auth.keys import KeyStore
from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import REPOSITORY, GatewayProcess
from artscraper_gateway.tests.web.page_object import PageObject, picture_bytes
from artscraper_gateway.tests.web.test_accessibility import LONG

SIZES = {"wide": (1280, 900), "phone": (390, 844)}
LANGUAGES = {"en": "en-GB", "de": "de-DE"}
ASTRONAUT = REPOSITORY / "input" / "astronaut.jpg"
JOBS = 6
GATE_WIDTH = 300  # px of pictures that the stage for tests holds up
TIMEOUT_MS = 90_000
STAGES = ("fawkes", "photoguard", "mist", "nightshade", "invisible-watermark")
CHEAP = {"include_protection": "false", "include_hash_analysis": "false"}
# Of the window only: what is fixed to it stands where a user sees it.
WINDOWS = ("dragging", "result", "uploads", "preview", "undo")
ALL_THUMBNAILS = """() => {
  const images = [...document.querySelectorAll("img.thumb")];
  const isEmpty = (image) => !image.naturalWidth;
  const empty = images.find((image) => image.checkVisibility() && isEmpty(image));
  empty?.scrollIntoView({ block: "center" });
  return !empty;
}"""
# A large picture is painted only once it is decoded, which takes a while.
DECODED = """() => Promise.all(
  [...document.images].filter((it) => it.checkVisibility()).map((it) => it.decode().catch(() => {}))
)"""
WHOLE_LIST = ".job { content-visibility: visible }"  # else rows out of sight are not drawn
DRAG = """() => {
  const transfer = new DataTransfer();
  transfer.items.add(new File(["x"], "x.png"));
  const init = { bubbles: true, dataTransfer: transfer };
  document.body.dispatchEvent(new DragEvent("dragenter", init));
  document.querySelector("[data-drop=medium]").dispatchEvent(new DragEvent("dragover", init));
}"""
Shot = Callable[[PageObject], None]


def main(out: Path, wanted: tuple[str, ...]) -> None:
    """Write <screen>-<language>-<theme>-<size>.png into `out`; `wanted` screens, none: all."""
    expect.set_options(timeout=TIMEOUT_MS)
    out.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        try:
            with running(Path(home) / "open", with_stages_for_tests=True) as gateway:
                with gateway.client() as client:
                    shots = screens(fill(client, Path(home)))
                for name, show in shots.items():
                    if name in wanted or not wanted:
                        failed += take(browser, gateway.base_url, out, name, show)
            if "sign-in" in wanted or not wanted:
                with running(Path(home) / "locked", worker_concurrency=0) as locked:
                    engine = open_engine(GatewayConfig(base_dir=locked.base_dir))
                    KeyStore(engine).add("painter")
                    engine.dispose()
                    failed += take(browser, locked.base_url, out, "sign-in", refuse_key)
        finally:
            browser.close()
    if failed:
        raise SystemExit(f"{len(failed)} screens were not reached: {', '.join(failed)}")


@contextmanager
def running(
    home: Path, *, with_stages_for_tests: bool = False, **options: object
) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(home, options, with_stages_for_tests).start()
    try:
        yield gateway
    finally:
        gateway.stop()


def submit(client: httpx.Client, picture: bytes, name: str, **fields: str) -> str:
    answer = client.post(
        "/v1/jobs",
        files={"file": (name, picture)},
        data=fields,
        headers={"Prefer": "wait=170"},
    )
    job: dict[str, str] = answer.raise_for_status().json()
    print(f"{answer.elapsed.total_seconds():.1f} s: {name}", flush=True)
    return job["job_id"]


def large_picture() -> bytes:
    """Return 24 megapixels, smooth and busy."""
    rng = np.random.default_rng(3)
    coarse = Image.fromarray(rng.integers(0, 256, (30, 45, 3), np.uint8))
    buffer = io.BytesIO()
    coarse.resize((6000, 4000), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def animation() -> bytes:
    """Return a GIF of two frames, which results in notes."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(picture_bytes(320, 300))) as first:
        first.save(buffer, "GIF", save_all=True, append_images=[first.rotate(180)])
    return buffer.getvalue()


@dataclass(frozen=True)
class Filled:
    """The jobs of a gateway by what their screens show, and a file with a watermark."""

    protected: str
    large: str
    noted: str
    tiny: str
    torn: str
    waiting: str
    marked: Path


def fill(client: httpx.Client, home: Path) -> Filled:
    """Send the pictures whose jobs the screens show."""
    marked = {"stages": "invisible-watermark", "include_hash_analysis": "false"}
    job = submit(client, ASTRONAUT.read_bytes(), "astronaut.jpg", stages=",".join(STAGES))
    large = submit(client, large_picture(), "mural.jpg", **marked)
    noted = submit(client, animation(), "moving.gif", **marked)
    tiny = submit(client, picture_bytes(1, 1), "dot.png", **marked)
    whole = picture_bytes()
    torn = submit(client, whole[: len(whole) // 2], "torn.png", **marked)
    found = home / "marked.jpg"
    found.write_bytes(client.get(f"/v1/jobs/{job}/layers/final").content)
    for index in range(JOBS):
        submit(client, picture_bytes(96, 72, seed=index), f"sketch {index}.png", **CHEAP)
    return Filled(job, large, noted, tiny, torn, submit_waiting(client), found)


def uploads(app: PageObject) -> None:
    named = {"name": LONG, "mimeType": "image/png", "buffer": picture_bytes()}
    app.add(ASTRONAUT)
    app.page.locator("#files").set_input_files([named])  # type: ignore[list-item]
    app.add(app.file("words.txt", b"no picture"), app.file("empty.png", b""))
    app.page.locator("#preview-map").wait_for()
    app.page.evaluate("window.scrollTo(0, 0)")


def preview(app: PageObject) -> None:
    app.add(ASTRONAUT)
    app.page.locator("#preview-show").click()
    expect(app.page.locator("#preview [data-strength] canvas")).to_have_count(3)
    app.page.locator("#preview").evaluate("(it) => it.scrollIntoView()")


def advanced(app: PageObject) -> None:
    app.page.locator("#advanced").evaluate("(it) => { it.open = true }")
    app.page.locator("#stages input[value=c2pa]").check()


def undo(app: PageObject) -> None:
    app.page.route("**/v1/jobs/*", lambda route: route.abort())
    row = app.page.locator("#jobs-list li").filter(has_text="sketch").first
    row.locator("button").last.click()  # done when the page closes: each time another
    app.page.locator("#undo").hover()  # its time stands still


def screens(filled: Filled) -> dict[str, Shot]:
    """Return how each screen is reached."""

    def result(job_id: str, choice: str | None = None, details: bool = False) -> Shot:
        def show(app: PageObject) -> None:
            app.open(f"/#/jobs/{job_id}")
            app.wait_for_result()
            if details:
                app.open_details()
                app.page.locator(".file-notes li").first.wait_for()
            if choice:
                app.page.locator(f"input{choice}").check()
                app.wait_for_result()

        return show

    def reading(app: PageObject) -> None:
        app.open("/#/watermark")
        app.page.locator("#watermark-file").set_input_files(filled.marked)
        app.page.locator("#watermark-answer h2").wait_for()

    return {
        "protect": lambda app: (
            app.page.locator("#jobs-list li").nth(4).scroll_into_view_if_needed()
        ),
        "uploads": uploads,
        "preview": preview,
        "advanced": advanced,
        "dragging": lambda app: app.page.evaluate(DRAG),
        "undo": undo,
        "waiting": lambda app: app.open(f"/#/jobs/{filled.waiting}"),
        "result": result(filled.protected),
        "result-details": result(filled.protected, details=True),
        "result-notes": result(filled.noted, details=True),
        "result-change": result(filled.protected, "[name=view][data-index='1']"),
        "result-unprotected": result(filled.tiny),
        "result-24-megapixels": result(filled.large, "[name=zoom][data-index='1']"),
        "failed": lambda app: app.open(f"/#/jobs/{filled.torn}"),
        "watermark": reading,
        "no-job": lambda app: app.open(f"/#/jobs/{'0' * 32}"),
        "opt-out": lambda app: app.page.goto(f"{app.base_url}/opt-out") and None,
    }


def submit_waiting(client: httpx.Client) -> str:
    """Return a job that does not end, with one that waits behind it."""
    jobs = [
        client.post(
            "/v1/jobs",
            files={"file": (name, picture_bytes(GATE_WIDTH, seed=seed))},
            data={"stages": "gate", "include_hash_analysis": "false"},
        )
        for seed, name in enumerate(("harbour.png", "evening.png"))
    ]
    job: dict[str, str] = jobs[0].raise_for_status().json()
    return job["job_id"]


def refuse_key(app: PageObject) -> None:
    app.page.locator("#key").fill("ask_wrong")
    app.page.locator("#sign-in button").click()
    app.page.locator("#key-error .problem").wait_for()


def take(browser: Browser, base_url: str, out: Path, name: str, show: Shot) -> list[str]:
    """Take a screen in each language, theme and size; return those that were not reached."""
    failed = []
    for language, locale in LANGUAGES.items():
        for size, (width, height) in SIZES.items():
            context = browser.new_context(
                viewport={"width": width, "height": height},
                locale=locale,
                reduced_motion="reduce",
                bypass_csp=True,  # for WHOLE_LIST
            )
            context.set_default_timeout(TIMEOUT_MS)
            try:
                take_themes(context.new_page(), base_url, out, (name, language, size), show)
            except (PlaywrightError, AssertionError) as error:
                failed.append(f"{name}-{language}-{size}")
                print(failed[-1], error, file=sys.stderr, flush=True)
            finally:
                context.close()
    return failed


def take_themes(
    page: Page, base_url: str, out: Path, names: tuple[str, str, str], show: Shot
) -> None:
    """Reach a screen once and take it in both themes."""
    name, language, size = names
    with tempfile.TemporaryDirectory() as folder:
        app = PageObject(page, base_url, Path(folder))
        app.open("/")
        ready = "body[data-screen=sign-in], #jobs-list li"
        page.locator(ready).first.wait_for(state="attached")
        show(app)
        place = page.evaluate("scrollY") if name in WINDOWS else 0
        page.add_style_tag(content=WHOLE_LIST)
        for theme in ("light", "dark"):
            page.evaluate("(theme) => { document.documentElement.dataset.theme = theme }", theme)
            page.wait_for_function(ALL_THUMBNAILS, timeout=TIMEOUT_MS)
            page.evaluate(DECODED)
            page.evaluate("(place) => window.scrollTo(0, place)", place)
            path = out / f"{name}-{language}-{theme}-{size}.png"
            page.screenshot(path=path, full_page=name not in WINDOWS)
            print(path.name, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), tuple(sys.argv[2:]))
