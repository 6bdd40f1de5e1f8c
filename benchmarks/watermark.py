"""Print how well and how fast pictures are marked, by us and by invisible-watermark 0.2.0.

Run `python benchmarks/watermark.py` from the repository root; it needs invisible-watermark,
opencv-python-headless, PyWavelets and Pillow.
"""

import argparse
import io
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.modules.setdefault("torch", ModuleType("torch"))  # upstream imports it for another method

import cv2  # noqa: E402
from imwatermark import (  # type: ignore[import-untyped]  # noqa: E402
    WatermarkDecoder,
    WatermarkEncoder,
)

from artscraper_runner.watermarks import dwt_dct_svd  # noqa: E402
from artscraper_runner.watermarks.dwt_dct_svd import Pixels  # noqa: E402

PAYLOAD_BYTES = 16
SIZES = [(512, 512), (2000, 3000), (4000, 6000)]


def upstream_embed(pixels: Pixels, payload: bytes) -> Pixels:
    """Mark RGB `pixels` with the package."""
    bgr = WatermarkEncoder(payload).encode(np.ascontiguousarray(pixels[:, :, ::-1]), "dwtDctSvd")
    return np.ascontiguousarray(bgr[:, :, ::-1])


def upstream_read(pixels: Pixels, payload_bytes: int) -> bytes:
    """Read RGB `pixels` with the package."""
    decoder = WatermarkDecoder("bytes", 8 * payload_bytes)
    return bytes(decoder.decode(np.ascontiguousarray(pixels[:, :, ::-1]), "dwtDctSvd"))


EMBEDDERS = {"ours": dwt_dct_svd.embed, "upstream": upstream_embed}
READERS = {"ours": dwt_dct_svd.read, "upstream": upstream_read}


def jpeg(pixels: Pixels, *, quality: int) -> Pixels:
    """Return `pixels` after Pillow's JPEG at `quality`, chroma at half size."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def half_and_back(pixels: Pixels) -> Pixels:
    """Return `pixels` after Lanczos scaling to half the size and back."""
    height, width, _ = pixels.shape
    small = Image.fromarray(pixels).resize((width // 2, height // 2), Image.Resampling.LANCZOS)
    return np.asarray(small.resize((width, height), Image.Resampling.LANCZOS))


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "none": lambda pixels: pixels,
    "JPEG 90": lambda pixels: jpeg(pixels, quality=90),
    "JPEG 75": lambda pixels: jpeg(pixels, quality=75),
    "half and back": half_and_back,
}


class Trial(NamedTuple):
    """One picture marked, changed and read; `bits` is the share of right bits."""

    embedder: str
    change: str
    reader: str
    bits: float


def psnr(before: Pixels, after: Pixels) -> float:
    """Return the peak signal-to-noise ratio over all channels in dB."""
    error = float(np.square(before.astype(np.float32) - after).mean(dtype=np.float64))
    return float(10 * np.log10(255**2 / error))


def share_of_right_bits(found: bytes, payload: bytes) -> float:
    """Return the share of equal bits of two equally long byte strings."""
    difference = np.frombuffer(found, np.uint8) ^ np.frombuffer(payload, np.uint8)
    return 1 - float(np.unpackbits(difference).mean())


def load_pictures(folder: Path) -> list[Pixels]:
    """Return all PNG and JPEG pictures below `folder`, as RGB, in the order of their paths."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in {".png", ".jpg"})
    if not paths:
        raise SystemExit(f"no .png or .jpg below {folder}; name a folder with --images")
    return [np.asarray(Image.open(path).convert("RGB")) for path in paths]


def try_pictures(pictures: list[Pixels]) -> tuple[dict[str, list[float]], list[Trial]]:
    """Return the PSNR values by embedder, and every trial."""
    random = np.random.default_rng(0)
    quality: dict[str, list[float]] = {embedder: [] for embedder in EMBEDDERS}
    trials = []
    for picture in pictures:
        payload = random.bytes(PAYLOAD_BYTES)
        for embedder, embed in EMBEDDERS.items():
            marked = embed(picture, payload)
            quality[embedder].append(psnr(picture, marked))
            for change, apply in CHANGES.items():
                changed = apply(marked)
                for reader, read in READERS.items():
                    bits = share_of_right_bits(read(changed, PAYLOAD_BYTES), payload)
                    trials.append(Trial(embedder, change, reader, bits))
    return quality, trials


def print_quality(pictures: list[Pixels]) -> None:
    """Print PSNR, and right bits and pictures fully decoded after every change."""
    quality, trials = try_pictures(pictures)
    print(f"{len(pictures)} pictures, {8 * PAYLOAD_BYTES} random bits each\n")
    print("| marked by | PSNR dB, mean | least |\n|---|---|---|")
    for embedder, values in quality.items():
        print(f"| {embedder} | {statistics.mean(values):.2f} | {min(values):.2f} |")
    pairs = [(embedder, reader) for embedder in EMBEDDERS for reader in READERS]
    titles = " | ".join(f"{embedder}, read by {reader}" for embedder, reader in pairs)
    print(f"\n| bits right % / pictures fully decoded | {titles} |\n|---|---|---|---|---|")
    for change in CHANGES:
        cells = []
        for embedder, reader in pairs:
            bits = [t.bits for t in trials if t[:3] == (embedder, change, reader)]
            whole = sum(share == 1 for share in bits)
            cells.append(f"{100 * statistics.mean(bits):.2f} / {whole}")
        print(f"| {change} | {' | '.join(cells)} |")


def milliseconds(call: Callable[[], object], *, repeats: int) -> float:
    """Return the median time of `repeats` calls in ms."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def print_speed(picture: Pixels, *, repeats: int) -> None:
    """Print the median times on `picture`, resized, with grain so that enlarging is no help."""
    print(f"\n| ms, median of {repeats} | embed, ours | upstream | read, ours | upstream |")
    print("|---|---|---|---|---|")
    random = np.random.default_rng(0)
    payload = random.bytes(PAYLOAD_BYTES)
    for height, width in SIZES:
        resized = np.asarray(Image.fromarray(picture).resize((width, height)), np.int16)
        grain = random.integers(-8, 9, resized.shape, dtype=np.int16)
        pixels = np.clip(resized + grain, 0, 255).astype(np.uint8)
        cells = [
            milliseconds(partial(embed, pixels, payload), repeats=repeats)
            for embed in EMBEDDERS.values()
        ] + [
            milliseconds(partial(read, pixels, PAYLOAD_BYTES), repeats=repeats)
            for read in READERS.values()
        ]
        print(f"| {height} x {width} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")


def main() -> None:
    """Read the command line and print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared" / "images")
    parser.add_argument("--repeats", type=int, default=3, help="timed calls per cell")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    pictures = load_pictures(arguments.images)
    print_quality(pictures)
    print_speed(pictures[0], repeats=arguments.repeats)


if __name__ == "__main__":
    main()
