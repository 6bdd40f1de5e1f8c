"""The page as a test uses it: by what a user sees."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, expect

STAGE = "Hidden mark"  # the quickest of the stages that change pixels
JOB_TIMEOUT_MS = 120_000


def picture_bytes(width: int = 320, height: int = 260, kind: str = "PNG", seed: int = 1) -> bytes:
    """Return a picture with smooth and busy areas, large enough for every stage."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noise = rng.integers(-12, 13, (height, width, 1))
    pixels = np.clip(smooth.astype(np.int16) + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@dataclass
class PageObject:
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
        self.page.locator("#advanced").evaluate("(it) => { it.open = true }")
        for box in self.page.locator("#stages label").all():
            box.get_by_role("checkbox").set_checked(box.locator("b").inner_text() in names)

    def add(self, *files: Path) -> None:
        self.page.locator("#files").set_input_files(list(files))

    def send(self, *files: Path, stages: tuple[str, ...] = (STAGE,)) -> None:
        """Protect the pictures; one leads to its own page, several stay in the list."""
        self.choose_stages(*stages)
        self.add(*files)
        self.page.locator("#send").click()

    def send_and_return(self, file: Path, stages: tuple[str, ...] = (STAGE,)) -> None:
        """Protect one picture and go back to the list."""
        self.send(file, stages=stages)
        self.show_list(file.name)

    def show_list(self, name: str) -> None:
        """Return from the page of the job to the list."""
        expect(self.page.get_by_role("heading", level=1)).to_have_text(name)
        self.page.get_by_role("link", name="All pictures").click()
        expect(self.row(name)).to_be_visible()

    def row(self, name: str) -> Locator:
        return self.page.locator("#jobs-list li").filter(has_text=name)

    def wait_until_done(self, name: str) -> None:
        expect(self.row(name).locator(".mark")).to_have_text("Done", timeout=JOB_TIMEOUT_MS)

    def wait_for_result(self) -> None:
        """Wait on the page of a job until its result and its pictures are shown."""
        self.page.locator(".download").wait_for(timeout=JOB_TIMEOUT_MS)
        self.page.locator(".stage-view img").first.wait_for()
        for image in self.page.locator(".stage-view img").all():
            expect(image).not_to_have_js_property("naturalWidth", 0)

    def open_job(self, name: str) -> None:
        """Go to the page of a finished job."""
        self.row(name).get_by_role("link").click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text(name)
        self.wait_for_result()

    def open_details(self) -> None:
        self.page.locator("#details").evaluate("(it) => { it.open = true }")

    def job_id(self) -> str:
        return self.page.url.rsplit("/", 1)[1]

    def result(self, job_id: str | None = None) -> list[dict[str, object]]:
        """Return the layers of the job, by default of the one that is shown."""
        url = f"{self.base_url}/v1/jobs/{job_id or self.job_id()}/result"
        layers: list[dict[str, object]] = self.page.request.get(url).json()["summary"]["layers"]
        return layers

    def transfer(self, kind: str, target: str, name: str, content: bytes) -> None:
        """Drop or paste a picture, with the events that browsers send."""
        script = """([kind, target, name, data]) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], name, { type: "image/png" }));
          const init = { bubbles: true, cancelable: true };
          const drag = (name) => new DragEvent(name, { ...init, dataTransfer: transfer });
          if (kind === "paste") {
            const event = new ClipboardEvent("paste", { ...init, clipboardData: transfer });
            document.querySelector(target).dispatchEvent(event);
            return;
          }
          document.body.dispatchEvent(drag("dragenter"));
          const zone = document.querySelector(target);
          zone.dispatchEvent(drag("dragover"));
          zone.dispatchEvent(drag("drop"));
        }"""
        self.page.evaluate(script, [kind, target, name, base64.b64encode(content).decode()])

    def drag(self, file: Path, *, x: float, y: float) -> None:
        """Drag a file over the window and drop it, as a hand does; shares of the window."""
        size = self.page.evaluate("[innerWidth, innerHeight]")
        place = {"x": size[0] * x, "y": size[1] * y}
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        session = self.page.context.new_cdp_session(self.page)
        for kind in ("dragEnter", "dragOver", "dragOver", "drop"):
            session.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})
        session.detach()
