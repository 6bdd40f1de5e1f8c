"""What the page weighs, when it can be used, and how a long list of jobs scrolls, in Chromium.

    python benchmarks/page.py          # needs the test extra and chromium

A fresh browser profile opens the page of a gateway on this machine; the median of several loads is
printed. It can be used when its choices stand and a key press is answered. The list is scrolled to
its end, page by page of 50, a screen's height at a time; a frame that takes longer than two of a
60 Hz screen is felt as a jerk.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from artscraper_gateway.tests.gateway_process import GatewayProcess, until  # noqa: E402
from artscraper_gateway.tests.web.screens import picture_bytes  # noqa: E402

LOADS = 7
JOBS = 200
CHEAP = {"include_protection": "false", "include_hash_analysis": "false"}
VIEWPORT = {"width": 1280, "height": 900}
JERK_MS = 2 * 1000 / 60
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
    """Prints the tables."""
    chromium = shutil.which("chromium") or sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        gateway = GatewayProcess(Path(home)).start()
        try:
            print(f"two cores, load {os.getloadavg()[0]:.1f}")
            print_loads(browser, gateway.base_url)
            fill(gateway)
            print_scrolling(browser, gateway.base_url)
        finally:
            gateway.stop()
            browser.close()


def print_loads(browser: Browser, address: str) -> None:
    """Prints the size of the first load, and when the page can be used."""
    sizes, usable, painted = [], [], []
    for _ in range(LOADS):
        context = browser.new_context(viewport=VIEWPORT)  # type: ignore[arg-type]
        page = context.new_page()
        weighed: list[int] = []
        page.on("requestfinished", lambda request, to=weighed: to.append(weight(request)))
        page.goto(address)
        page.locator("#stages input").first.press("Space")
        usable.append(page.evaluate("performance.now()"))
        painted.append(page.evaluate("performance.getEntriesByType('paint').at(-1).startTime"))
        page.wait_for_timeout(200)  # answers that are still on their way to be weighed
        sizes.append(sum(weighed))
        context.close()
    print("\n| first load | median | bar |\n|---|---|---|")
    print(f"| over the wire, kB | {statistics.median(sizes) / 1000:.0f} | 150 |")
    print(f"| first contentful paint, ms | {statistics.median(painted):.0f} | - |")
    print(f"| a key press answered, ms | {statistics.median(usable):.0f} | 1000 |")


def weight(request: object) -> int:
    """Returns the bytes of the answer: headers and body as sent."""
    found: dict[str, int] = request.sizes()  # type: ignore[attr-defined]
    return found["responseBodySize"] + found["responseHeadersSize"]


def fill(gateway: GatewayProcess) -> None:
    """Has 200 finished jobs in the list."""
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
    """Prints how long frames take while the list is scrolled from its head to its end."""
    page = browser.new_context(viewport=VIEWPORT).new_page()  # type: ignore[arg-type]
    page.goto(address)
    rows = page.locator("#jobs-list li")
    rows.first.wait_for()
    while page.locator("#older").is_visible():
        count = rows.count()
        page.locator("#older").click()
        rows.nth(count).wait_for()
    frames = scrolled(page)
    jerks = sum(time > JERK_MS for time in frames)
    print("\n| scrolling | jobs | frames | median ms | p99 ms | longer than two frames |")
    print("|---|---|---|---|---|---|")
    p99 = statistics.quantiles(frames, n=100)[98]
    print(
        f"| with thumbnails coming in | {rows.count()} | {len(frames)} "
        f"| {statistics.median(frames):.1f} | {p99:.1f} | {jerks} |"
    )


def scrolled(page: Page) -> list[float]:
    """Returns the times of the frames from the head of the page to its end."""
    page.evaluate("window.scrollTo(0, 0)")
    times: list[float] = page.evaluate(SCROLL)
    return times


if __name__ == "__main__":
    main()
