"""Training crops: random pieces of real and drawn pictures, heavily augmented.

A crop is uint8 (size, size, 3) sRGB while it is being changed and float32 in [0, 1] at the end.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from training import procedural

HELD_OUT = (  # file names without suffix; only ever scored on
    "mona_lisa",
    "delaunay_portrait",
    "vangogh_03",
    "turner_shipwreck",
    "kodak_01",
    "kodak_04",
    "kodak_05",
    "kodak_12",
)
HELD_OUT_FOLDERS = ("near-duplicates",)  # variants of held-out pictures
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """The augmentation of a crop; values are probabilities unless named otherwise."""

    scales: tuple[float, ...] = (1.0, 1.0, 0.75, 0.5, 0.35)  # crop pixels per source pixel
    flip: float = 0.5
    quarter_turn: float = 0.25
    free_turn: float = 0.1
    tone: float = 0.5
    permute_channels: float = 0.2
    grey: float = 0.05
    blur: float = 0.1
    jpeg: float = 0.25


def training_files(folder: Path) -> list[Path]:
    """Return the pictures under a folder, sorted, without the held-out ones.

    Raises:
        FileNotFoundError: no picture is left.
    """
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not is_held_out(path.relative_to(folder))
    )
    if not found:
        raise FileNotFoundError(f"expected training pictures {SUFFIXES} under {folder}, found none")
    return found


def is_held_out(path: Path) -> bool:
    """Tell whether a picture is kept for scoring, by its name or its folder's name."""
    return path.stem.lower() in HELD_OUT or any(part in HELD_OUT_FOLDERS for part in path.parts)


class CropSource:
    """Draws augmented crops; holds the decoded real pictures and a changing set of drawn ones."""

    def __init__(
        self,
        files: Sequence[Path],
        *,
        drawn: int,
        drawn_size: int = 448,
        drawn_share: float = 0.4,
        augmentation: Augmentation | None = None,
        rng: np.random.Generator,
    ) -> None:
        self.rng = rng
        self.augmentation = augmentation or Augmentation()
        self.drawn_share = drawn_share
        self.drawn_size = drawn_size
        self.real = [ImageOps.exif_transpose(Image.open(file)).convert("RGB") for file in files]
        self.drawn = [procedural.picture(rng, size=drawn_size) for _ in range(drawn)]

    def batch(self, count: int, *, size: int) -> np.ndarray:
        """Return crops float32 (count, 3, size, size), sRGB in [0, 1]; one drawn picture is new."""
        oldest = int(self.rng.integers(len(self.drawn)))
        self.drawn[oldest] = procedural.picture(self.rng, size=self.drawn_size)
        crops = [self._crop(size) for _ in range(count)]
        return np.stack(crops).transpose(0, 3, 1, 2).astype(np.float32) / 255

    def _crop(self, size: int) -> np.ndarray:
        is_drawn = self.rng.random() < self.drawn_share
        pool = self.drawn if is_drawn else self.real
        picture = pool[self.rng.integers(len(pool))]
        return augmented(self.rng, picture, size=size, how=self.augmentation)


def augmented(
    rng: np.random.Generator, picture: Image.Image, *, size: int, how: Augmentation
) -> np.ndarray:
    """Return one random crop uint8 (size, size, 3) of an RGB picture."""
    crop = _turned_crop(rng, picture, size=size, how=how)
    if rng.random() < how.flip:
        crop = ImageOps.mirror(crop)
    if rng.random() < how.quarter_turn:
        crop = crop.rotate(90 * int(rng.integers(1, 4)))
    if rng.random() < how.blur:
        crop = crop.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 2.0)))
    if rng.random() < how.grey:
        crop = crop.convert("L").convert("RGB")
    pixels = np.asarray(crop)
    if rng.random() < how.tone:
        pixels = _toned(rng, pixels)
    if rng.random() < how.permute_channels:
        pixels = pixels[..., rng.permutation(3)]
    if rng.random() < how.jpeg:
        pixels = _through_jpeg(pixels, quality=int(rng.integers(40, 96)))
    return pixels


def _turned_crop(
    rng: np.random.Generator, picture: Image.Image, *, size: int, how: Augmentation
) -> Image.Image:
    scale = how.scales[rng.integers(len(how.scales))]
    side = min(round(size / scale), *picture.size)
    turned = rng.random() < how.free_turn
    if turned:  # the square inside a turned square is smaller by up to sqrt(2)
        side = min(round(side * 1.42), *picture.size)
    left = int(rng.integers(picture.width - side + 1))
    top = int(rng.integers(picture.height - side + 1))
    box = (left, top, left + side, top + side)
    if not turned:
        return picture.resize((size, size), Image.Resampling.LANCZOS, box=box)
    crop = picture.crop(box).rotate(rng.uniform(-45, 45), Image.Resampling.BICUBIC)
    margin = side * (1 - 1 / 1.42) / 2
    inner = (margin, margin, side - margin, side - margin)
    return crop.resize((size, size), Image.Resampling.LANCZOS, box=inner)


def _toned(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Change contrast, brightness and gamma, each channel a little differently."""
    x = pixels.astype(np.float32) / 255
    x = x ** np.exp(rng.uniform(-0.4, 0.4))
    gain = rng.uniform(0.6, 1.3) * rng.uniform(0.9, 1.1, 3)
    shift = rng.uniform(-0.15, 0.15) + rng.uniform(-0.05, 0.05, 3)
    x = (x - 0.5) * gain + 0.5 + shift
    toned: np.ndarray = (np.clip(x, 0, 1) * 255).round().astype(np.uint8)
    return toned


def _through_jpeg(pixels: np.ndarray, *, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))
