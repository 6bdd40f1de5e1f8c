"""The page as a test uses it: by what a reader sees."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, expect

STAGE = "Hidden mark"  # the quickest of the stages that change pixels


def picture_bytes(width: int = 320, height: int = 260, kind: str = "PNG", seed: int = 1) -> bytes:
    """A picture with smooth and lively areas, large enough for every stage."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noise = rng.integers(-12, 13, (height, width, 1))
    pixels = np.clip(smooth.astype(np.int16) + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@dataclass
class Studio:
    """One opened page of a gateway."""

    page: Page
    base_url: str
    folder: Path

    def open(self, path: str = "/") -> None:
        self.page.goto(f"{self.base_url}{path}")
        self.page.locator("body[data-screen]").wait_for()

    def file(self, name: str, content: bytes | None = None) -> Path:
        path = self.folder / name
        path.write_bytes(picture_bytes() if content is None else content)
        return path

    def choose_stages(self, *names: str) -> None:
        for box in self.page.locator("#stages label").all():
            box.get_by_role("checkbox").set_checked(box.locator("b").inner_text() in names)

    def add(self, *files: Path) -> None:
        self.page.locator("#files").set_input_files(list(files))

    def send(self, *files: Path, stages: tuple[str, ...] = (STAGE,)) -> None:
        self.choose_stages(*stages)
        self.add(*files)
        self.page.locator("#send").click()

    def row(self, name: str) -> Locator:
        return self.page.locator("#jobs-list li").filter(has_text=name)

    def is_done(self, name: str) -> None:
        expect(self.row(name).locator(".mark")).to_have_text("Done", timeout=40_000)

    def open_job(self, name: str) -> None:
        """Goes to the page of a job that is done, and waits for its pictures."""
        self.row(name).get_by_role("link").click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text(name)
        self.sees_pictures()

    def sees_pictures(self) -> None:
        self.page.locator(".stage-view img").first.wait_for()
        for image in self.page.locator(".stage-view img").all():
            expect(image).not_to_have_js_property("naturalWidth", 0)

    def give(self, kind: str, target: str, name: str, content: bytes) -> None:
        """Drops or pastes a picture, as the browser tells a page of it."""
        script = """([kind, target, name, data]) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], name, { type: "image/png" }));
          const init = { bubbles: true, cancelable: true };
          const event = kind === "paste"
            ? new ClipboardEvent("paste", { ...init, clipboardData: transfer })
            : new DragEvent("drop", { ...init, dataTransfer: transfer });
          document.querySelector(target).dispatchEvent(event);
        }"""
        self.page.evaluate(script, [kind, target, name, base64.b64encode(content).decode()])
