"""Print after which changes the Fourier ring is detected, and how often where there is none.

Run `python benchmarks/fourier_ring.py` from the repository root.
"""

import argparse
import statistics
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from picture_changes import CHANGES, Pixels, rotated  # noqa: E402
from watermark import load_pictures, psnr  # noqa: E402

from artscraper_runner.watermarks.fourier_ring import DETECTED, detect, embed  # noqa: E402


def print_detections(pictures: list[Pixels]) -> None:
    """Print how many pictures are detected after each change."""
    marked = [embed(picture) for picture in pictures]
    quality = [psnr(*pair) for pair in zip(pictures, marked, strict=True)]
    print(f"{len(pictures)} pictures, PSNR {statistics.mean(quality):.1f} dB")
    print(f"\n| | detected (p < {DETECTED}) | largest p |\n|---|---|---|")
    changes = {**CHANGES, "rotated by 30 degrees": lambda pixels: rotated(pixels, degrees=30)}
    for change, apply in changes.items():
        values = [detect(apply(copy)).p_value for copy in marked]
        count = sum(value < DETECTED for value in values)
        print(f"| {change} | {count} | {max(values):.5f} |", flush=True)


def print_false_detections(pictures: list[Pixels], count: int) -> None:
    """Print which p-values `count` crops of unmarked pictures have."""
    random = np.random.default_rng(7)
    values = []
    for _ in range(count):
        picture = pictures[int(random.integers(len(pictures)))]
        top, left = (int(random.integers(0, side - 300)) for side in picture.shape[:2])
        crop = np.ascontiguousarray(picture[top : top + 300, left : left + 300])
        values.append(detect(crop).p_value)
    print(f"\n{count} clean crops of 300 x 300, p-value below")
    for limit in (0.5, 0.1, 0.01, DETECTED):
        print(f"- {limit}: {sum(value < limit for value in values) / count:.4f} of them")


def main() -> None:
    """Read the command line and print both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared" / "images")
    parser.add_argument("--clean-crops", type=int, default=1000)
    arguments = parser.parse_args()
    pictures = load_pictures(arguments.images)
    print_detections(pictures)
    print_false_detections(pictures, arguments.clean_crops)


if __name__ == "__main__":
    main()
