"""Print what is left of the attacks on pictures much larger than the size they work at.

Run `python benchmarks/large_pictures.py --images DIR --models DIR` from the repository root. The
three stages look at a picture scaled to 512 px on its short side; here another encoder looks at
copies scaled to 512 and 1024 px, and at pieces of 512 px of the picture itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from protection import Pixels, attacked, row  # noqa: E402

from artscraper_runner.attacks.evaluation import Observer  # noqa: E402
from artscraper_runner.attacks.scaling import scaled_picture  # noqa: E402
from artscraper_runner.imaging import metrics  # noqa: E402
from artscraper_runner.models import load_encoder  # noqa: E402

SIZES = ((2000, 3000), (4000, 6000))  # width, height
PIECE = 512  # px
Views = Callable[[Pixels], Iterator[NDArray[np.float32]]]


def noisy(pixels: Pixels, like: Pixels) -> Pixels:
    """Random signs at full size with the mean square error of `like`."""
    square = np.mean(np.square(like.astype(np.int16) - pixels, dtype=np.float32))
    low = int(square**0.5)
    rng = np.random.default_rng(5)
    larger = rng.random(pixels.shape, np.float32) < (square - low**2) / (2 * low + 1)
    change = (low + larger) * rng.choice(np.array([-1, 1], np.int16), pixels.shape)
    return np.clip(pixels + change, 0, 255).astype(np.uint8)


def scaled_to(short_side: int) -> Views:
    """Return the whole picture with `short_side` px on its short side."""

    def view(pixels: Pixels) -> Iterator[NDArray[np.float32]]:
        height, width = pixels.shape[:2]
        scale = short_side / min(height, width)
        yield scaled_picture(pixels, (round(height * scale), round(width * scale)))

    return view


def pieces(pixels: Pixels) -> Iterator[NDArray[np.float32]]:
    """Five pieces at full size: the middle, and the middles of the quarters."""
    height, width = pixels.shape[:2]
    for down, across in ((0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)):
        top, left = int(down * height) - PIECE // 2, int(across * width) - PIECE // 2
        piece = np.ascontiguousarray(pixels[top : top + PIECE, left : left + PIECE])
        yield scaled_picture(piece, (PIECE, PIECE))


def effects(judge: Observer, original: Pixels, changed: Pixels, views: Views) -> float:
    """Return the mean effect over the views."""
    pairs = zip(views(original), views(changed), strict=True)
    return float(np.mean([judge.displacement(before, after) for before, after in pairs]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared" / "images")
    parser.add_argument("--models", type=Path, default=ROOT.parent / "shared" / "models")
    options = parser.parse_args()
    judge = Observer(load_encoder("taef2", models_dir=options.models))
    portrait = Image.open(options.images / "paintings" / "delaunay_portrait.jpg").convert("RGB")
    seen = {"scaled to 512": scaled_to(512), "scaled to 1024": scaled_to(1024), "pieces": pieces}
    print("| size | seen | effect | noise | times noise | SSIM | PSNR dB |")
    print("|---|---|---|---|---|---|---|")
    for size in SIZES:
        pixels = np.array(portrait.resize(size, Image.Resampling.LANCZOS))
        layer = attacked(pixels, strength="medium", seed=1)
        noise = noisy(pixels, layer)
        quality = (metrics.ssim(pixels, layer), metrics.psnr(pixels, layer))
        for name, views in seen.items():
            pair = [effects(judge, pixels, each, views) for each in (layer, noise)]
            row(f"{size[0]}x{size[1]} | {name}", *pair, pair[0] / pair[1], *quality)


if __name__ == "__main__":
    main()
