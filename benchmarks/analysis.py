"""Print how fast pictures are analysed, what it needs, and what the steganalysis finds.

Run `python benchmarks/analysis.py` from the repository root; ImageHash, dhash and
phash-blockhashio are timed beside ours where they are installed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from artscraper_runner.analysis.processors import (  # noqa: E402
    DecodedPicture,
    default_processors,
    load_processor,
)
from artscraper_runner.analysis.run import analyse_picture  # noqa: E402
from artscraper_runner.analysis.steganalysis.lsb_message import read_lsb_message  # noqa: E402
from artscraper_runner.analysis.steganalysis.weighted_stego import embedding_rates  # noqa: E402
from artscraper_runner.imaging.decode import open_picture  # noqa: E402
from artscraper_runner.options import (  # noqa: E402
    AnalysisOptions,
    PictureLimits,
)

Pixels = np.ndarray
# name, width, height, Pillow's format, bar in ms
CASES = (
    ("512x512 PNG", 512, 512, "PNG", 60),
    ("2000x3000 JPEG", 2000, 3000, "JPEG", 250),
    ("4000x6000 JPEG", 4000, 6000, "JPEG", 900),
)
MEMORY_BAR_MB = 700
RATES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
MESSAGE_LENGTHS = (5, 100, 5_000)


def milliseconds(
    call: Callable[[], object], *, repeats: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the median time of `repeats` calls in ms, after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        start = clock()
        call()
        times.append(clock() - start)
    return 1000 * statistics.median(times)


def sample_paths(folder: Path, *names: str) -> list[Path]:
    """Return the PNG and JPEG pictures in the folders `names` of `folder`."""
    paths = [path for name in names for path in sorted((folder / name).glob("*.[pj]*g"))]
    if not paths:
        raise SystemExit(f"no .png or .jpg in {', '.join(names)} of {folder}; use --images")
    return paths


def rgb(path: Path) -> Pixels:
    """Return the picture as uint8 (H, W, 3)."""
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def write_cases(folder: Path, sample: Path) -> dict[str, Path]:
    """Write the pictures that are timed: a sample enlarged, with grain as a camera adds it."""
    random = np.random.default_rng(0)
    paths = {}
    with Image.open(sample) as opened:
        picture = opened.convert("RGB")
    for name, width, height, format_name, _ in CASES:
        resized = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        grain = random.normal(0, 3, resized.shape).astype(np.int16)
        path = folder / name.replace(" ", ".").lower()
        Image.fromarray(np.clip(resized + grain, 0, 255).astype(np.uint8)).save(
            path, format_name, **({"quality": 90} if format_name == "JPEG" else {})
        )
        paths[name] = path
    return paths


def decode(path: Path) -> None:
    """Decode as Pillow does, and nothing else."""
    with Image.open(path) as image:
        image.load()


def peak_megabytes(path: Path) -> float:
    """Return the largest resident memory of a process that analyses `path`, on Linux."""
    code = (
        "import sys; from pathlib import Path;"
        "from artscraper_runner import AnalysisOptions, analyse_picture;"
        "analyse_picture(Path(sys.argv[1]), AnalysisOptions());"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, check=True, capture_output=True
    )
    return int(run.stdout) / 1024


def print_whole_analysis(paths: dict[str, Path], *, repeats: int) -> None:
    """Print the time of everything but TinEye beside decoding alone, and the peak memory."""
    limits = PictureLimits()
    print(
        f"\nMedians of {repeats}; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores."
    )
    print("CPU time adds up the threads, and other load on the machine weighs less on it.\n")
    print("| ms | decoding alone | CPU | whole analysis | CPU | bar | peak MB | bar |")
    print("|---|---|---|---|---|---|---|---|")
    for name, *_, bar in CASES:
        calls = (
            partial(decode, paths[name]),
            partial(analyse_picture, paths[name], AnalysisOptions(), limits=limits),
        )
        clocks = (time.perf_counter, time.process_time)
        cells = [
            f"{milliseconds(call, repeats=repeats, clock=clock):.0f}"
            for call in calls
            for clock in clocks
        ]
        memory = peak_megabytes(paths[name])
        print(
            f"| {name} | {' | '.join(cells)} | {bar} | {memory:.0f} | {MEMORY_BAR_MB} |", flush=True
        )


def print_parts(paths: dict[str, Path], *, repeats: int) -> None:
    """Print the time of opening and of each processor, each beginning from the decoded picture."""
    print(f"\n| ms, median of {repeats} | {' | '.join(paths)} |\n|---|{'---|' * len(paths)}")
    opened = {name: open_picture(path, PictureLimits()) for name, path in paths.items()}

    def once(processor: str, name: str) -> object:
        picture = DecodedPicture.of(paths[name], opened[name])
        return load_processor(processor).process(picture, AnalysisOptions())

    cells = [
        milliseconds(partial(open_picture, path, PictureLimits()), repeats=repeats)
        for path in paths.values()
    ]
    print_row("open (check, decode, RGB array)", cells)
    for processor in default_processors():
        print_row(
            processor,
            [milliseconds(partial(once, processor, name), repeats=repeats) for name in paths],
        )


def print_row(title: str, cells: list[float | None]) -> None:
    """Print a row of a table; None is a cell that was not measured."""
    values = " | ".join("-" if cell is None else f"{cell:.1f}" for cell in cells)
    print(f"| {title} | {values} |", flush=True)


def oracles() -> Iterator[tuple[str, Callable[[Image.Image], object], bool]]:
    """Yield name, call and whether it is slow (pure Python) of each library that is installed."""
    try:
        imagehash = import_module("imagehash")
        yield "ImageHash average", imagehash.average_hash, False
        yield "ImageHash perceptual", imagehash.phash, False
        yield "ImageHash difference", imagehash.dhash, False
        yield "ImageHash wavelet", imagehash.whash, False
    except ImportError:
        print("(ImageHash is not installed)")
    try:
        yield "dhash row and column", import_module("dhash").dhash_row_col, False
    except ImportError:
        print("(dhash is not installed)")
    try:
        blockhash = import_module("blockhash.core").blockhash
        yield "phash-blockhashio 8 and 16", lambda i: (blockhash(i, 8), blockhash(i, 16)), True
    except ImportError:
        print("(phash-blockhashio is not installed)")


def print_oracles(paths: dict[str, Path], *, repeats: int) -> None:
    """Print the libraries' times on the decoded pictures."""
    print(f"\n| ms, median of {repeats} | {' | '.join(paths)} |\n|---|{'---|' * len(paths)}")
    images = []
    for path in paths.values():
        with Image.open(path) as image:
            image.load()
            images.append(image.copy())
    for title, call, slow in oracles():
        cells: list[float | None] = []
        for number, image in enumerate(images):
            wanted = not slow or number == 0
            cells.append(milliseconds(partial(call, image), repeats=repeats) if wanted else None)
        print_row(title, cells)


def replaced(pixels: Pixels, rate: float, random: np.random.Generator) -> Pixels:
    """Return `pixels` with a share `rate` of all lowest bits replaced by random ones."""
    chosen = random.random(pixels.shape, np.float32) < rate
    bits = random.integers(0, 2, pixels.shape, dtype=np.uint8)
    return np.where(chosen, pixels & 0xFE | bits, pixels)


def with_message(pixels: Pixels, length: int) -> Pixels:
    """Return `pixels` with a message of `length` letters in Stegano's format."""
    stream = b"%d:" % length + b"m" * length
    bits = np.unpackbits(np.frombuffer(stream, np.uint8))
    flat = pixels.reshape(-1).copy()
    flat[: len(bits)] = flat[: len(bits)] & 0xFE | bits
    return flat.reshape(pixels.shape)


def print_rates(pictures: dict[str, list[Pixels]]) -> None:
    """Print how often the embedding rate stands out, and how well it is estimated."""
    random = np.random.default_rng(0)
    counts = " | ".join(f"{name}: stands out of {len(group)}" for name, group in pictures.items())
    print(f"\n| lowest bits replaced | {counts} | mean rate | rms error | mean uncertainty |")
    print(f"|---|{'---|' * (len(pictures) + 3)}")
    for rate in (0.0, *RATES):
        rows, hits = [], []
        for group in pictures.values():
            marked = [replaced(pixels, rate, random) if rate else pixels for pixels in group]
            found = [embedding_rates(pixels) or () for pixels in marked]
            hits.append(sum(any(one.stands_out for one in rates) for rates in found))
            rows += [(one.rate, one.uncertainty) for rates in found for one in rates]
        rates, uncertainties = np.array(rows).T
        error = float(np.sqrt(np.square(rates - rate).mean()))
        values = " | ".join(map(str, hits))
        title = f"{100 * rate:g} %" if rate else "none (false alarms)"
        estimates = f"{rates.mean():.3f} | {error:.3f} | {uncertainties.mean():.3f}"
        print(f"| {title} | {values} | {estimates} |")


def print_messages(pictures: dict[str, list[Pixels]]) -> None:
    """Print how many messages in Stegano's format are read, and how many that are none."""
    random = np.random.default_rng(0)
    counts = " | ".join(f"{name}: read of {len(group)}" for name, group in pictures.items())
    print(f"\n| hidden | {counts} |\n|---|{'---|' * len(pictures)}")
    changes: dict[str, Callable[[Pixels], Pixels]] = {
        "nothing (false alarms)": lambda pixels: pixels,
        "all lowest bits random (false alarms)": lambda pixels: replaced(pixels, 1.0, random),
    } | {f"{n} letters": partial(with_message, length=n) for n in MESSAGE_LENGTHS}
    for title, change in changes.items():
        read = [
            sum(read_lsb_message(change(pixels)) is not None for pixels in group)
            for group in pictures.values()
        ]
        print(f"| {title} | {' | '.join(map(str, read))} |")
    black = np.zeros((4000, 6000, 3), np.uint8)
    taken = milliseconds(partial(read_lsb_message, black), repeats=9)
    print(f"\nA black 4000x6000 picture is searched for a message in {taken:.3f} ms.")


def main() -> None:
    """Read the command line and print all tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared" / "images")
    parser.add_argument("--repeats", type=int, default=9, help="timed calls per cell")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # the libraries call what Pillow is about to remove
    samples = sample_paths(arguments.images, "photos")
    with tempfile.TemporaryDirectory() as folder:
        paths = write_cases(Path(folder), samples[0])
        print_whole_analysis(paths, repeats=arguments.repeats)
        print_parts(paths, repeats=arguments.repeats)
        print_oracles(paths, repeats=arguments.repeats)
    groups = {name: sample_paths(arguments.images, name) for name in ("photos", "paintings")}
    pictures = {name: [rgb(path) for path in group] for name, group in groups.items()}
    print_messages(pictures)
    print_rates(pictures)


if __name__ == "__main__":
    main()
