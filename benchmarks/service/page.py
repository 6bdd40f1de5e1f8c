"""Size of the page, time until it is usable, from a drop to the download, and scrolling.

    python benchmarks/service/page.py          # needs the test extra and chromium

A fresh browser profile opens the page of a gateway on this machine; the median of several loads is
printed. It can be used when its options are shown and a key press is handled. A crop is shown at
the three strengths; the first time two seconds after its picture was added. The way of a picture
of 1000 px is walked twice: dropped on a strength, and dropped to look first. The list is
scrolled to its end, page by page of 50, a screen's height at a time; a frame that takes longer than
two of a 60 Hz screen is felt as a jerk.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from artscraper_gateway.tests.gateway_process import GatewayProcess, until  # noqa: E402
from artscraper_gateway.tests.web.page_object import PageObject, picture_bytes  # noqa: E402

LOADS = 7
JOBS = 200
CHEAP = {"include_protection": "false", "include_hash_analysis": "false"}
VIEWPORT = {"width": 1280, "height": 900}
JERK_MS = 2 * 1000 / 60
THOUGHT_MS = 2000  # between adding a picture and asking for its preview
JOB_TIMEOUT_MS = 300_000
# Scrolls by 60 px a frame and returns how long each frame took, in ms.
SCROLL = """async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const times = [];
  let before = await frame();
  while (window.scrollY + window.innerHeight < document.body.scrollHeight - 1) {
    window.scrollBy(0, 60);
    const now = await frame();
    times.push(now - before);
    before = now;
  }
  return times;
}"""


def main() -> None:
    """Print the tables."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    chromium = shutil.which("chromium") or sys.exit("chromium is not installed")
    expect.set_options(timeout=JOB_TIMEOUT_MS)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        gateway = GatewayProcess(Path(home)).start()
        try:
            print(f"two cores, load {os.getloadavg()[0]:.1f}")
            print_loads(browser, gateway.base_url)
            print_previews(browser, gateway.base_url, Path(home))
            print_ways(browser, gateway.base_url, Path(home))
            fill(gateway)
            print_scrolling(browser, gateway.base_url)
        finally:
            gateway.stop()
            browser.close()


def print_loads(browser: Browser, address: str) -> None:
    """Print the size of the first load, and when the page can be used."""
    sizes, usable, painted = [], [], []
    for _ in range(LOADS):
        context = browser.new_context(viewport=VIEWPORT)  # type: ignore[arg-type]
        page = context.new_page()
        transferred: list[int] = []
        page.on("requestfinished", lambda request, to=transferred: to.append(weight(request)))
        page.goto(address)
        page.locator("#stages input").first.wait_for(state="attached")
        page.locator("#advanced > summary").press("Space")
        usable.append(page.evaluate("performance.now()"))
        painted.append(page.evaluate("performance.getEntriesByType('paint').at(-1).startTime"))
        page.wait_for_timeout(200)  # for answers that are still on their way
        sizes.append(sum(transferred))
        context.close()
    print("\n| first load | median | bar |\n|---|---|---|")
    print(f"| over the wire, kB | {statistics.median(sizes) / 1000:.0f} | 150 |")
    print(f"| first contentful paint, ms | {statistics.median(painted):.0f} | - |")
    print(f"| a key press handled, ms | {statistics.median(usable):.0f} | 1000 |")


def weight(request: object) -> int:
    """Return the bytes of the answer: headers and body as sent."""
    sizes: dict[str, int] = request.sizes()  # type: ignore[attr-defined]
    return sizes["responseBodySize"] + sizes["responseHeadersSize"]


def print_ways(browser: Browser, address: str, folder: Path) -> None:
    """Print actions, scrolls and seconds from a picture of 1000 px to its download.

    Each way begins with a file that is dragged over the window; its drop is the first action.
    """
    picture = folder / "picture.png"
    picture.write_bytes(picture_bytes(1000, 750))
    print("\n| from drop to download | actions | scrolls | s |\n|---|---|---|---|")
    for way, height in (("dropped on a strength", 0.5), ("dropped to look first", 0.95)):
        page = browser.new_context(viewport=VIEWPORT).new_page()  # type: ignore[arg-type]
        app = PageObject(page, address, folder)
        app.open()
        page.locator("#stages input").first.wait_for(state="attached")
        start = time.monotonic()
        app.drag(picture, x=0.5, y=height)
        actions = 1
        if way == "dropped to look first":
            click_without_scrolling(page, "#send")
            actions += 1
        page.locator(".download").wait_for(timeout=JOB_TIMEOUT_MS)
        with page.expect_download():
            click_without_scrolling(page, ".download")
        print(f"| {way} | {actions + 1} | 0 | {time.monotonic() - start:.1f} |")
        page.context.close()


def print_previews(browser: Browser, address: str, folder: Path) -> None:
    """Print how long the three strengths take: of a first picture, and of others."""
    print("\n| the three strengths on a crop | s | bar |\n|---|---|---|")
    page = browser.new_context(viewport=VIEWPORT).new_page()  # type: ignore[arg-type]
    app = PageObject(page, address, folder)
    app.open()
    page.locator("#stages input").first.wait_for(state="attached")
    for index, (width, height) in enumerate(((1000, 750), (480, 320), (3000, 2000))):
        picture = folder / f"{index}.png"
        picture.write_bytes(picture_bytes(width, height, seed=index))
        app.add(picture)
        page.locator("#preview-map").wait_for()
        page.wait_for_timeout(THOUGHT_MS if index == 0 else 0)
        start = time.monotonic()
        page.locator("#preview-show").click()
        page.locator("#preview [data-strength] canvas").nth(2).wait_for()
        seconds = time.monotonic() - start
        print(f"| {width}x{height} px{', the first one' * (index == 0)} | {seconds:.2f} | 2 |")
        page.locator("#remove-all").click()
    page.context.close()


def click_without_scrolling(page: Page, selector: str) -> None:
    """Click what is in sight already; fail if the page would have to be scrolled."""
    button = page.locator(selector)
    expect(button).to_be_in_viewport(ratio=1)
    before = page.evaluate("scrollY")
    button.click()
    if selector == ".download" and page.evaluate("scrollY") != before:
        raise SystemExit(f"the page was scrolled to reach {selector}")


def fill(gateway: GatewayProcess) -> None:
    """Add 200 finished jobs to the list."""
    with gateway.client() as client:
        for start in range(0, JOBS, 100):
            seeds = range(start, start + 100)
            files = [("file", picture_bytes(96, 72, seed=seed)) for seed in seeds]
            client.post("/v1/batches", files=files, data=CHEAP).raise_for_status()
        until(
            lambda: not client.get("/v1/jobs?status=queued").json()["jobs"],
            what="jobs are done",
            timeout_s=120,
        )


def print_scrolling(browser: Browser, address: str) -> None:
    """Print how long frames take while the list is scrolled from its head to its end."""
    page = browser.new_context(viewport=VIEWPORT).new_page()  # type: ignore[arg-type]
    page.goto(address)
    rows = page.locator("#jobs-list li")
    rows.first.wait_for()
    while page.locator("#older").is_visible():
        count = rows.count()
        page.locator("#older").click()
        rows.nth(count).wait_for()
    frames = frame_times(page)
    jerks = sum(duration > JERK_MS for duration in frames)
    print("\n| scrolling | jobs | frames | median ms | p99 ms | longer than two frames |")
    print("|---|---|---|---|---|---|")
    p99 = statistics.quantiles(frames, n=100)[98]
    print(
        f"| with thumbnails being loaded | {rows.count()} | {len(frames)} "
        f"| {statistics.median(frames):.1f} | {p99:.1f} | {jerks} |"
    )


def frame_times(page: Page) -> list[float]:
    """Return the duration of each frame from the head of the page to its end, in ms."""
    page.evaluate("window.scrollTo(0, 0)")
    times: list[float] = page.evaluate(SCROLL)
    return times


if __name__ == "__main__":
    main()
