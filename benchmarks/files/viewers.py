"""Colour-managed viewers from outside the project: what a picture file looks like in sRGB.

Chromium shows what browsers show; ImageMagick (Debian's package) covers TIFF, which they do not.
Pictures with transparency are laid over mid-grey.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from playwright.sync_api import Page, sync_playwright

Pixels = NDArray[np.uint8]
_TIMEOUT_S = 60
_PROFILE_SIGNATURE = b"acsp"  # of ICC profiles, which TIFF does not compress
_MEDIA_TYPES = {".jpg": "jpeg", ".png": "png", ".webp": "webp", ".gif": "gif", ".bmp": "bmp"}
_MEDIA_TYPES |= {".avif": "avif"}
_SHOW = """async (source) => {
  const image = new Image();
  image.src = source;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d", {colorSpace: "srgb", willReadFrequently: true});
  context.fillStyle = "#808080";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0);
  const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
  let text = "";
  for (let at = 0; at < data.length; at += 8192)
    text += String.fromCharCode(...data.subarray(at, at + 8192));
  return [canvas.width, canvas.height, btoa(text)];
}"""


class Viewers:
    """Shows files through the viewer that knows their format."""

    def __init__(self, page: Page, folder: Path) -> None:
        self._page = page
        self._srgb = folder / "srgb.icc"
        self._srgb.write_bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())

    def show(self, path: Path) -> Pixels:
        """Return uint8 (H, W, 3) sRGB, upright.

        Raises:
            RuntimeError: the viewer cannot show the file.
        """
        return self._by_imagemagick(path) if path.suffix == ".tif" else self._by_chromium(path)

    def _by_chromium(self, path: Path) -> Pixels:
        source = base64.b64encode(path.read_bytes()).decode()
        url = f"data:image/{_MEDIA_TYPES[path.suffix]};base64,{source}"
        width, height, encoded = self._page.evaluate(_SHOW, url)
        rgba = np.frombuffer(base64.b64decode(encoded), np.uint8)
        return rgba.reshape(height, width, 4)[..., :3]

    def _by_imagemagick(self, path: Path) -> Pixels:
        has_profile = _PROFILE_SIGNATURE in path.read_bytes()
        command = ["convert", f"{path}[0]", "-auto-orient", "-intent", "relative"]
        command += ["+black-point-compensation"]
        command += ["-profile", str(self._srgb)] if has_profile else ["-colorspace", "sRGB"]
        command += ["-background", "#808080", "-alpha", "remove", "-alpha", "off"]
        result = subprocess.run(
            [*command, "-depth", "8", "ppm:-"], capture_output=True, timeout=_TIMEOUT_S, check=False
        )
        if result.returncode or not result.stdout:
            raise RuntimeError(result.stderr.decode(errors="replace"))
        with Image.open(BytesIO(result.stdout), formats=["PPM"]) as image:
            return np.asarray(image.convert("RGB"))


def missing_viewers() -> list[str]:
    """Return the names of the programs that are needed and not installed."""
    return [name for name in ("chromium", "convert") if shutil.which(name) is None]


@contextmanager
def open_viewers(folder: Path) -> Iterator[Viewers]:
    """Start a browser without network; `folder` holds what ImageMagick needs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        try:
            yield Viewers(browser.new_page(), folder)
        finally:
            browser.close()
