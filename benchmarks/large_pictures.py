"""Print what is left of the attacks on pictures much larger than the size they work at.

Run `python benchmarks/large_pictures.py --images DIR --models DIR` from the repository root. The
three stages look at a picture scaled to 512 and 1024 px on its short side; here another encoder
looks at copies of these sizes, and at pieces of 512 px of the picture itself. Noise is drawn at the
size that is seen: random signs with the mean square error that the change has there.
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
from artscraper_runner.attacks.transforms import to_picture, to_pixels  # noqa: E402
from artscraper_runner.imaging import metrics  # noqa: E402
from artscraper_runner.models import load_encoder  # noqa: E402
from artscraper_runner.models.protocol import EncoderOptions  # noqa: E402

SIZES = ((2000, 3000), (4000, 6000))  # width, height
PIECE = 512  # px
Planes = NDArray[np.float32]
Views = Callable[[Pixels], Iterator[Planes]]


def noisy(picture: Planes, like: Planes) -> Planes:
    """Return random signs on `picture` with the mean square error of `like`, in 8 bits."""
    pixels, changed = to_pixels(picture), to_pixels(like)
    square = np.mean(np.square(changed.astype(np.int16) - pixels, dtype=np.float32))
    low = int(square**0.5)
    rng = np.random.default_rng(5)
    larger = rng.random(pixels.shape, np.float32) < (square - low**2) / (2 * low + 1)
    change = (low + larger) * rng.choice(np.array([-1, 1], np.int16), pixels.shape)
    return to_picture(np.clip(pixels + change, 0, 255).astype(np.uint8))


def scaled_to(short_side: int) -> Views:
    """Return the whole picture with `short_side` px on its short side."""

    def view(pixels: Pixels) -> Iterator[Planes]:
        height, width = pixels.shape[:2]
        scale = short_side / min(height, width)
        yield scaled_picture(pixels, (round(height * scale), round(width * scale)))

    return view


def pieces(pixels: Pixels) -> Iterator[Planes]:
    """Five pieces at full size: the middle, and the middles of the quarters."""
    height, width = pixels.shape[:2]
    for down, across in ((0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)):
        top, left = int(down * height) - PIECE // 2, int(across * width) - PIECE // 2
        piece = np.ascontiguousarray(pixels[top : top + PIECE, left : left + PIECE])
        yield scaled_picture(piece, (PIECE, PIECE))


def effects(
    judge: Observer, original: Pixels, changed: Pixels, views: Views
) -> tuple[float, float]:
    """Return the mean effect over the views, and that of noise."""
    pairs = zip(views(original), views(changed), strict=True)
    both = [
        (judge.displacement(before, after), judge.displacement(before, noisy(before, after)))
        for before, after in pairs
    ]
    ours, noise = np.mean(both, axis=0)
    return float(ours), float(noise)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared" / "images")
    parser.add_argument("--models", type=Path, default=ROOT.parent / "shared" / "models")
    options = parser.parse_args()
    judge = Observer(load_encoder("taef2", EncoderOptions(models_dir=options.models)))
    portrait = Image.open(options.images / "paintings" / "delaunay_portrait.jpg").convert("RGB")
    seen = {"scaled to 512": scaled_to(512), "scaled to 1024": scaled_to(1024), "pieces": pieces}
    print("| size | seen | effect | noise | times noise | SSIM | PSNR dB |")
    print("|---|---|---|---|---|---|---|")
    for size in SIZES:
        pixels = np.array(portrait.resize(size, Image.Resampling.LANCZOS))
        layer = attacked(pixels, strength="medium", seed=1)
        quality = (metrics.ssim(pixels, layer), metrics.psnr(pixels, layer))
        for name, views in seen.items():
            pair = effects(judge, pixels, layer, views)
            row(f"{size[0]}x{size[1]} | {name}", *pair, pair[0] / pair[1], *quality)


if __name__ == "__main__":
    main()
