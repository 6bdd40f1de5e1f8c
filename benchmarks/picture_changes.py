"""The changes that a watermark is tried with: what happens to pictures on the web."""

import io
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Pixels = npt.NDArray[np.uint8]


def recompressed(pixels: Pixels, *, kind: str, quality: int) -> Pixels:
    """Return `pixels` after Pillow's JPEG or WebP at `quality`, chroma at half size."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def resized(pixels: Pixels, *, scale: float, back: bool = False) -> Pixels:
    """Return `pixels` with both sides times `scale` (Lanczos), and scaled back if `back`."""
    height, width, _ = pixels.shape
    size = (round(width * scale), round(height * scale))
    image = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS) if back else image)


def cropped(pixels: Pixels, *, share: float) -> Pixels:
    """Return the middle of `pixels`, both sides shorter by `share`."""
    height, width, _ = pixels.shape
    top, left = int(height * share / 2), int(width * share / 2)
    return np.ascontiguousarray(pixels[top : height - top, left : width - left])


def brightened(pixels: Pixels, *, factor: float) -> Pixels:
    """Return `pixels` times `factor`, clipped."""
    return np.clip(pixels * factor, 0, 255).round().astype(np.uint8)


def grey(pixels: Pixels) -> Pixels:
    """Return `pixels` without their colours (BT.601 luma in all three channels)."""
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


def noisy(pixels: Pixels, *, sigma: float) -> Pixels:
    """Return `pixels` plus normal noise of `sigma` levels in every channel."""
    noise = np.random.default_rng(1).normal(0, sigma, pixels.shape)
    return np.clip(pixels + noise, 0, 255).round().astype(np.uint8)


def blurred(pixels: Pixels, *, radius: float) -> Pixels:
    """Return `pixels` after a Gaussian blur of `radius` px."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def rotated(pixels: Pixels, *, degrees: float) -> Pixels:
    """Return `pixels` turned on their own canvas (bicubic), black in the corners."""
    return np.asarray(Image.fromarray(pixels).rotate(degrees, Image.Resampling.BICUBIC))


def rotated_inside(pixels: Pixels, *, degrees: float) -> Pixels:
    """Return `pixels` rotated and cropped to the largest part of its shape without corners."""
    height, width, _ = pixels.shape
    angle = np.radians(abs(degrees))
    longer, shorter = max(height, width), min(height, width)
    kept = shorter / (longer * np.sin(angle) + shorter * np.cos(angle))
    return cropped(rotated(pixels, degrees=degrees), share=1 - kept)


def pasted(pixels: Pixels, *, larger: float) -> Pixels:
    """Return `pixels` off the centre of a canvas whose sides are `larger` times as long.

    The canvas shows coloured rectangles with grain, as other pictures of a collage would.
    """
    random = np.random.default_rng(2)
    height, width, _ = pixels.shape
    size = (round(height * larger), round(width * larger))
    cells = random.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    canvas = np.asarray(Image.fromarray(cells).resize(size[::-1], Image.Resampling.NEAREST))
    canvas = np.clip(canvas + random.normal(0, 6, canvas.shape), 0, 255).round().astype(np.uint8)
    top, left = (size[0] - height) // 3, (size[1] - width) // 3
    canvas[top : top + height, left : left + width] = pixels
    return canvas


def narrowed(pixels: Pixels, *, factor: float) -> Pixels:
    """Return `pixels` with only the width times `factor`."""
    height, width, _ = pixels.shape
    return np.asarray(Image.fromarray(pixels).resize((round(width * factor), height)))


def screenshot(pixels: Pixels) -> Pixels:
    """Return `pixels` without their top and left 15 %, at 0.6 of the size, as JPEG 70."""
    height, width, _ = pixels.shape
    corner = np.ascontiguousarray(pixels[int(height * 0.15) :, int(width * 0.15) :])
    return recompressed(resized(corner, scale=0.6), kind="JPEG", quality=70)


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "none": lambda pixels: pixels,
    "JPEG 90": partial(recompressed, kind="JPEG", quality=90),
    "JPEG 75": partial(recompressed, kind="JPEG", quality=75),
    "JPEG 50": partial(recompressed, kind="JPEG", quality=50),
    "JPEG 30": partial(recompressed, kind="JPEG", quality=30),
    "WebP 60": partial(recompressed, kind="WEBP", quality=60),
    "half and back": partial(resized, scale=0.5, back=True),
    "half": partial(resized, scale=0.5),
    "quarter (of each side)": partial(resized, scale=0.25),
    "crop 10 %": partial(cropped, share=0.10),
    "crop 25 % + JPEG 75": lambda pixels: recompressed(
        cropped(pixels, share=0.25), kind="JPEG", quality=75
    ),
    "brightness x1.1": partial(brightened, factor=1.1),
    "greyscale": grey,
    "noise sigma 10": partial(noisy, sigma=10),
    "blur 1 px": partial(blurred, radius=1),
    "mirrored": lambda pixels: np.ascontiguousarray(pixels[:, ::-1]),
    "rotated by 2 degrees": partial(rotated, degrees=2),
    "width x0.9": partial(narrowed, factor=0.9),
    "rotated by 3 degrees, corners cropped": partial(rotated_inside, degrees=3),
    "pasted, canvas x1.3": partial(pasted, larger=1.3),
    "pasted, canvas x1.7": partial(pasted, larger=1.7),
    "corner 85 %, x0.6, JPEG 70": screenshot,
}
