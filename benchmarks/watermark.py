"""Print what the watermarks survive, how well they are hidden and how long they take.

Run `python benchmarks/watermark.py` from the repository root. The columns of the package
invisible-watermark 0.2.0 appear when it, opencv-python-headless and PyWavelets are installed.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from drawings import DRAWINGS  # noqa: E402
from judges import butteraugli, ssimulacra2  # noqa: E402
from picture_changes import CHANGES, Pixels  # noqa: E402

from artscraper_runner import ProtectionOptions, protect_picture  # noqa: E402
from artscraper_runner.attacks import presets  # noqa: E402
from artscraper_runner.attacks.visibility_budget import SHARES  # noqa: E402
from artscraper_runner.errors import PictureTooSmall  # noqa: E402
from artscraper_runner.protection_pipeline import WorkflowConfig  # noqa: E402
from artscraper_runner.watermarks import dwt_dct_svd, tiled_spread_spectrum  # noqa: E402
from artscraper_runner.watermarks.strengths import STRENGTHS  # noqa: E402

PAYLOAD_BYTES = 8
SIZES = [(512, 512), (2000, 3000), (4000, 6000)]


@dataclass(frozen=True)
class Method:
    """A way to mark and read; `read` returns the payload, None or noise where it fails."""

    embed: Callable[[Pixels, bytes], Pixels]
    read: Callable[[Pixels], bytes | None]
    quick: Callable[[Pixels], bytes | None]  # for the timing: without the search


def tiled_read(pixels: Pixels, *, search: bool) -> bytes | None:
    """Read the tiled mark."""
    found = tiled_spread_spectrum.read(pixels, search=search)
    return found.payload if found else None


def blockwise_read(pixels: Pixels) -> bytes | None:
    """Read our dwtDctSvd."""
    try:
        return dwt_dct_svd.read(pixels, PAYLOAD_BYTES)
    except PictureTooSmall:
        return None


def upstream() -> Method | None:
    """Return the package's dwtDctSvd, None where it is not installed."""
    sys.modules.setdefault("torch", ModuleType("torch"))  # it imports it for another method
    try:
        import cv2
        from imwatermark import (  # type: ignore[import-untyped]
            WatermarkDecoder,
            WatermarkEncoder,
        )
    except ImportError:
        return None
    cv2.setNumThreads(1)

    def embed(pixels: Pixels, payload: bytes) -> Pixels:
        bgr = np.ascontiguousarray(pixels[:, :, ::-1])
        return np.ascontiguousarray(WatermarkEncoder(payload).encode(bgr, "dwtDctSvd")[:, :, ::-1])

    def read(pixels: Pixels) -> bytes | None:
        if pixels.shape[0] * pixels.shape[1] < 256 * 256:
            return None
        decoder = WatermarkDecoder("bytes", 8 * PAYLOAD_BYTES)
        return bytes(decoder.decode(np.ascontiguousarray(pixels[:, :, ::-1]), "dwtDctSvd"))

    return Method(embed, read, read)


def mark_bound(strength: str) -> float:
    """Return what a job of `strength` leaves for the mark of what may be seen."""
    share = SHARES["invisible-watermark"] / sum(SHARES.values())
    return presets.STRENGTHS[strength].visibility * share**0.5


def after_a_job(pixels: Pixels, payload: bytes, *, strength: str) -> Pixels:
    """Return the last layer of a default job whose mark is `payload`."""
    options = ProtectionOptions(strength=strength, seed=1, watermark_payload=payload.hex())
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "picture.png"
        Image.fromarray(pixels).save(source)
        config = WorkflowConfig(protection=options)
        summary = protect_picture(
            source, Path(folder) / "out", config=config, include_hash_analysis=False
        )
        return np.asarray(Image.open(summary["layers"][-1]["path"]).convert("RGB"))


def job_methods() -> dict[str, Method]:
    """Return the marks that whole jobs leave, which share the bound with the attacks."""
    return {
        f"whole job, {name}": Method(
            partial(after_a_job, strength=name),
            partial(tiled_read, search=True),
            partial(tiled_read, search=False),
        )
        for name in STRENGTHS
    }


def methods() -> dict[str, Method]:
    """Return the methods to compare, by the title of their column."""
    compared = {
        f"tiled, {name}": Method(
            partial(tiled_spread_spectrum.embed, strength=name, visibility=mark_bound(name)),
            partial(tiled_read, search=True),
            partial(tiled_read, search=False),
        )
        for name in STRENGTHS
    }
    compared["dwtDctSvd"] = Method(dwt_dct_svd.embed, blockwise_read, blockwise_read)
    package = upstream()
    if package is not None:
        compared["invisible-watermark 0.2.0"] = package
    return compared


def psnr(before: Pixels, after: Pixels) -> float:
    """Return the peak signal-to-noise ratio over all channels in dB."""
    error = float(np.square(before.astype(np.float32) - after).mean(dtype=np.float64))
    return float(10 * np.log10(255**2 / error))


def load_pictures(folder: Path) -> list[Pixels]:
    """Return the photographs and paintings below `folder`, as RGB, in the order of their paths."""
    paths = [
        path
        for name in ("photos", "paintings")
        for path in sorted((folder / name).glob("*"))
        if path.suffix in {".png", ".jpg"}
    ]
    if not paths:
        raise SystemExit(f"no pictures in photos/ and paintings/ of {folder}; see --images")
    return [np.asarray(Image.open(path).convert("RGB")) for path in paths]


def print_robustness(
    pictures: list[Pixels], compared: dict[str, Method], changes: Sequence[str]
) -> None:
    """Print how many pictures are fully decoded after each of the changes, by method."""
    random = np.random.default_rng(0)
    payloads = [random.bytes(PAYLOAD_BYTES) for _ in pictures]
    marked = {
        title: [
            method.embed(picture, payload)
            for picture, payload in zip(pictures, payloads, strict=True)
        ]
        for title, method in compared.items()
    }
    print(f"Fully decoded of {len(pictures)} pictures, {8 * PAYLOAD_BYTES} random bits each.\n")
    print(f"| | {' | '.join(compared)} |\n|---|{'---|' * len(compared)}")
    print_visibility(pictures, marked)
    for change in changes:
        apply = CHANGES[change]
        counts = [
            sum(
                method.read(apply(copy)) == payload
                for copy, payload in zip(marked[title], payloads, strict=True)
            )
            for title, method in compared.items()
        ]
        print(f"| {change} | {' | '.join(map(str, counts))} |", flush=True)


def print_visibility(pictures: list[Pixels], marked: dict[str, list[Pixels]]) -> None:
    """Print rows on how much of the marks alone can be seen, mean and worst picture."""
    measures: list[tuple[str, Callable[[Pixels, Pixels], float], Callable[..., float]]] = [
        ("PSNR dB", psnr, min),
        ("SSIMULACRA2", ssimulacra2, min),
        ("Butteraugli", butteraugli, max),
        ("largest change", largest_change, max),
    ]
    for name, measure, worst in measures:
        cells = []
        for copies in marked.values():
            values = [measure(*pair) for pair in zip(pictures, copies, strict=True)]
            cells.append(f"{statistics.mean(values):.1f} / {worst(values):.1f}")
        print(f"| {name}, mean / worst | {' | '.join(cells)} |", flush=True)


def largest_change(before: Pixels, after: Pixels) -> float:
    """Return the largest change of a value, in levels."""
    return float(np.abs(before.astype(np.int16) - after).max())


def print_drawings(folder: Path) -> None:
    """Print what the mark adds to the visibility of the attacks on flat drawings."""
    print("\nFlat drawings, 640 x 640 px: the attacks of a strength -> with its mark.\n")
    print("| | strength | SSIMULACRA2 | points | Butteraugli | read |\n|---|---|---|---|---|---|")
    for name, draw in DRAWINGS.items():
        drawing = draw(640, 640)
        for strength in STRENGTHS:
            before, after = protected_drawing(drawing, strength, folder / f"{name}-{strength}")
            scores = ssimulacra2(drawing, before), ssimulacra2(drawing, after)
            shown = butteraugli(drawing, before), butteraugli(drawing, after)
            is_read = tiled_spread_spectrum.read(after, search=False) is not None
            print(
                f"| {name} | {strength} | {scores[0]:.1f} -> {scores[1]:.1f}"
                f" | {scores[0] - scores[1]:.1f} | {shown[0]:.2f} -> {shown[1]:.2f}"
                f" | {'yes' if is_read else 'no mark'} |",
                flush=True,
            )


def protected_drawing(drawing: Pixels, strength: str, folder: Path) -> tuple[Pixels, Pixels]:
    """Return a drawing after the attacks of a strength, and after its watermark."""
    folder.mkdir(parents=True)
    source = folder / "drawing.png"
    Image.fromarray(drawing).save(source)
    stages = ("photoguard", "mist", "nightshade", "invisible-watermark")
    config = WorkflowConfig(stages, ProtectionOptions(strength=strength))
    summary = protect_picture(source, folder / "out", config=config, include_hash_analysis=False)
    before, after = (
        np.asarray(Image.open(layer["path"]).convert("RGB")) for layer in summary["layers"][-2:]
    )
    return before, after


def print_false_readings(pictures: list[Pixels], count: int) -> None:
    """Print how many of `count` crops of unmarked pictures are read as marked, search included."""
    random = np.random.default_rng(11)
    false = 0
    for _ in range(count):
        picture = pictures[int(random.integers(len(pictures)))]
        height, width = (int(random.integers(200, min(side, 500))) for side in picture.shape[:2])
        top = int(random.integers(0, picture.shape[0] - height + 1))
        left = int(random.integers(0, picture.shape[1] - width + 1))
        crop = np.ascontiguousarray(picture[top : top + height, left : left + width])
        false += tiled_spread_spectrum.read(crop) is not None
    print(f"\nFalse readings of the tiled mark: {false} of {count} clean crops.")


def milliseconds(call: Callable[[], object], *, repeats: int) -> float:
    """Return the median processor time of `repeats` calls in ms, which other load leaves alone."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1000 * statistics.median(times)


def print_speed(picture: Pixels, compared: dict[str, Method], *, repeats: int) -> None:
    """Print the median times on `picture`, resized, with grain so that enlarging is no help."""
    titles = [f"{title}: {what}" for title in compared for what in ("embed", "read")]
    head = f"| ms of processor time, median of {repeats} | {' | '.join(titles)} |"
    print(f"\n{head}\n|---|{'---|' * len(titles)}")
    random = np.random.default_rng(0)
    payload = random.bytes(PAYLOAD_BYTES)
    for height, width in SIZES:
        resized = np.asarray(Image.fromarray(picture).resize((width, height)), np.int16)
        grain = random.integers(-8, 9, resized.shape, dtype=np.int16)
        pixels = np.clip(resized + grain, 0, 255).astype(np.uint8)
        cells = []
        for method in compared.values():
            marked = method.embed(pixels, payload)
            cells.append(milliseconds(partial(method.embed, pixels, payload), repeats=repeats))
            cells.append(milliseconds(partial(method.quick, marked), repeats=repeats))
        print(f"| {height} x {width} | {' | '.join(f'{cell:.0f}' for cell in cells)} |")


def main() -> None:
    """Read the command line and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared" / "images")
    parser.add_argument("--only-speed", action="store_true", help="print the last table alone")
    parser.add_argument("--only-drawings", action="store_true", help="print that table alone")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls per cell")
    parser.add_argument("--clean-crops", type=int, default=200, help="for false readings")
    parser.add_argument(
        "--only", nargs="+", choices=STRENGTHS, help="the tiled mark at these strengths alone"
    )
    parser.add_argument("--changes", nargs="+", choices=CHANGES, default=list(CHANGES))
    parser.add_argument("--jobs", action="store_true", help="the marks of whole jobs alone")
    arguments = parser.parse_args()
    if arguments.only_drawings:
        with tempfile.TemporaryDirectory() as folder:
            print_drawings(Path(folder))
        return
    pictures = load_pictures(arguments.images)
    compared = job_methods() if arguments.jobs else methods()
    if arguments.only or arguments.jobs:
        kind = "whole job" if arguments.jobs else "tiled"
        titles = [f"{kind}, {name}" for name in arguments.only or STRENGTHS]
        print_robustness(pictures, {title: compared[title] for title in titles}, arguments.changes)
        return
    if not arguments.only_speed:
        print_robustness(pictures, compared, arguments.changes)
        print_false_readings(pictures, arguments.clean_crops)
        with tempfile.TemporaryDirectory() as folder:
            print_drawings(Path(folder))
    print_speed(pictures[0], compared, repeats=arguments.repeats)


if __name__ == "__main__":
    main()
