"""The README's pictures: the sample portrait before and after, what changed, and the page.

    python benchmarks/service/pictures.py            # into docs/pictures; needs chromium

The sample is a job of a real gateway with the default settings.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from artscraper_gateway.tests.gateway_process import GatewayProcess  # noqa: E402
from artscraper_gateway.tests.web.page_object import PageObject  # noqa: E402

SAMPLE = ROOT / "input" / "astronaut.jpg"
OUT = ROOT / "docs" / "pictures"
LAST = "invisible-watermark"
GAIN = 16  # as of the change masks: 16 of 255 is white
GAP = 8  # px of white between panels
VIEWPORT = {"width": 1280, "height": 1000}
QUALITY = 82
JOB_WAIT_S = 170
TIMEOUT_MS = 60_000


def main() -> None:
    """Write portrait.webp and page.webp."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        gateway = GatewayProcess(Path(home)).start()
        try:
            with gateway.client() as client:
                job_id = _protected(client)
                before = _layer(client, job_id, "original")
                after = _layer(client, job_id, LAST)
            _save(_panels(before, after), "portrait.webp")
            _save(_page(gateway.base_url, job_id, Path(home)), "page.webp")
        finally:
            gateway.stop()


def _protected(client: httpx.Client) -> str:
    picture = {"file": (SAMPLE.name, SAMPLE.read_bytes())}
    job = client.post("/v1/jobs", files=picture, headers={"Prefer": f"wait={JOB_WAIT_S}"}).json()
    if job["status"] != "done":
        raise SystemExit(f"expected the job to be done within {JOB_WAIT_S} s, it is {job}")
    return str(job["job_id"])


def _layer(client: httpx.Client, job_id: str, stage: str) -> np.ndarray:
    content = client.get(f"/v1/jobs/{job_id}/layers/{stage}").raise_for_status().content
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(np.int16)


def _panels(before: np.ndarray, after: np.ndarray) -> Image.Image:
    """Before, after, and by how much each value changed, GAIN times amplified."""
    change = np.abs(after - before) * GAIN
    gap = np.full((before.shape[0], GAP, 3), 255)
    row = np.concatenate([before, gap, after, gap, change], axis=1)
    return Image.fromarray(row.clip(0, 255).astype(np.uint8))


def _page(base_url: str, job_id: str, folder: Path) -> Image.Image:
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(viewport=VIEWPORT, reduced_motion="reduce")  # type: ignore[arg-type]
        app = PageObject(page, base_url, folder)
        app.open(f"/#/jobs/{job_id}")
        app.wait_for_result()
        expect(page.locator(".verdict .place, .verdict .faces").first).to_be_visible()
        for image in page.locator(".strip img").all():
            expect(image).not_to_have_js_property("naturalWidth", 0)
        page.get_by_label("Colours").select_option("light")
        content = page.screenshot()
        browser.close()
    return Image.open(io.BytesIO(content)).convert("RGB")


def _save(image: Image.Image, name: str) -> None:
    image.save(OUT / name, "WEBP", quality=QUALITY, method=6)
    print(f"{name}: {image.width} x {image.height} px, {(OUT / name).stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
