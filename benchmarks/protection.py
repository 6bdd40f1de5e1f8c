"""Print what the attack stages reach, and how fast, on eight pictures kept out of training.

Run `python benchmarks/protection.py --images DIR --models DIR` from the repository root, on a
machine with nothing else to do. DIRs hold the sample pictures and taef2's weights.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from artscraper_runner.attacks import presets  # noqa: E402
from artscraper_runner.attacks.constraints import Box  # noqa: E402
from artscraper_runner.attacks.evaluation import (  # noqa: E402
    VIEWS,
    Observer,
    effect_record,
)
from artscraper_runner.attacks.pgd import optimise  # noqa: E402
from artscraper_runner.attacks.presets import STRENGTHS  # noqa: E402
from artscraper_runner.attacks.run_cache import RunCache  # noqa: E402
from artscraper_runner.attacks.scaling import scaled_picture  # noqa: E402
from artscraper_runner.attacks.transforms import scaled  # noqa: E402
from artscraper_runner.attacks.visibility_budget import stage_bound  # noqa: E402
from artscraper_runner.imaging import metrics  # noqa: E402
from artscraper_runner.latent.objectives import LatentObjective, latent_at  # noqa: E402
from artscraper_runner.models import load_encoder  # noqa: E402
from artscraper_runner.models.graph import thread_count  # noqa: E402
from artscraper_runner.models.protocol import (  # noqa: E402
    Encoder,
    EncoderOptions,
    QuadraticObjective,
)
from artscraper_runner.options import ProtectionOptions  # noqa: E402
from artscraper_runner.stages import load_stage  # noqa: E402
from artscraper_runner.stages.stage import StageInput  # noqa: E402
from artscraper_runner.types import Controls  # noqa: E402
from benchmarks import faces  # noqa: E402
from benchmarks.whole_job import measured_job  # noqa: E402

PAINTINGS = ("mona_lisa.jpg", "delaunay_portrait.jpg", "vangogh_03.png", "turner_shipwreck.jpg")
PHOTOS = ("kodak_01.png", "kodak_04.png", "kodak_05.png", "kodak_12.png")
ATTACKS = ("photoguard", "mist", "nightshade")
SIDE = 512  # px
PUBLISHED_ITERATIONS = 200  # the authors' demonstration
PUBLISHED_PICTURES = ("mona_lisa", "kodak_04", "vangogh_03")  # minutes each
BARS = {"plain": 2.2, "jpeg_75": 1.6, "halved": 2.0}
Pixels = NDArray[np.uint8]
Picture = NDArray[np.float32]


def held_out(images: Path) -> dict[str, Pixels]:
    """Return the eight pictures by name, centre-cropped, uint8 (512, 512, 3)."""
    files = [images / "paintings" / name for name in PAINTINGS]
    files += [images / "photos" / name for name in PHOTOS]
    return {path.stem: square(path) for path in files}


def square(path: Path) -> Pixels:
    """Return a picture centre-cropped and scaled to the benchmark's size."""
    upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    return np.array(ImageOps.fit(upright, (SIDE, SIDE), Image.Resampling.LANCZOS))


def attacked(pixels: Pixels, *stages: str, **options: Any) -> Pixels:
    """Return the picture after `stages`, each starting from the one before."""
    layer, before, cache = pixels, (), RunCache()
    visibility = STRENGTHS[options.get("strength", "medium")].visibility
    for name in stages or ATTACKS:
        inputs = StageInput(
            layer,
            pixels,
            None,
            ProtectionOptions(**options),
            Controls(),
            visibility=stage_bound(visibility, name, stages or ATTACKS),
            stages_before=before,
            cache=cache,
        )
        result = load_stage(name).apply(inputs).pixels
        assert result is not None
        layer, before = result, (*before, name)
    return layer


def row(name: str, *values: object) -> None:
    """Return one line of a table."""
    cells = [f"{value:.3f}" if isinstance(value, float) else str(value) for value in values]
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def verdict(value: float, bar: float, *, at_most: bool = False) -> str:
    """Return whether a bar is reached."""
    return "reached" if (value <= bar if at_most else value >= bar) else "MISSED"


def print_transfer(pictures: dict[str, Pixels], judge: Observer, strength: str) -> None:
    """Effect on an encoder that was not attacked, times that of random signs of the same error."""
    print(
        f"\n### Attacked through bundled, {strength}, three stages, seen by {judge.encoder.name}\n"
    )
    print(
        "| picture | times noise | after JPEG 75 | after halving | effect | SSIM | PSNR dB | Linf |"
    )
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for name, pixels in pictures.items():
        layer = attacked(pixels, strength=strength, seed=1)
        size = pixels.shape[:2]
        record = effect_record(judge, scaled_picture(pixels, size), scaled_picture(layer, size))
        ratios = [record["times_noise"][view] for view in VIEWS]
        quality = (metrics.ssim(pixels, layer), metrics.psnr(pixels, layer))
        rows.append([*ratios, record["effect"]["plain"], *quality])
        row(name, *rows[-1], metrics.linf(pixels, layer))
    means = [statistics.fmean(column) for column in zip(*rows, strict=True)]
    row("mean", *means, "")
    if strength == "medium":
        row("at least", *BARS.values(), "", 0.9, "", "")
        reached = [verdict(mean, bar) for mean, bar in zip(means[:3], BARS.values(), strict=True)]
        row("", *reached, "", verdict(means[4], 0.9), "", "")


def print_published(
    pictures: dict[str, Pixels], names: Sequence[str], models: Path, judge: Observer
) -> None:
    """Print the default of photoguard against the published loop, on one encoder and budget.

    In processor time, which other work on the machine changes least.
    """
    published = presets.PRESETS["photoguard"]["published"]
    demo = replace(published, rule=replace(published.rule, iterations=PUBLISHED_ITERATIONS))
    rows = {"published": demo, "default": presets.PRESETS["photoguard"]["default"]}
    print(f"\n### taef2 attacked through itself, {PUBLISHED_ITERATIONS} published iterations\n")
    print("| picture | preset | effect | share | to grey | SSIM | PSNR dB | CPU s | share |")
    print("|---|---|---|---|---|---|---|---|---|")
    shares = []
    for name in names:
        found = {
            preset: through_itself(pictures[name], numbers, preset, models, judge)
            for preset, numbers in rows.items()
        }
        shares.append([found["default"][at] / found["published"][at] for at in (0, 4)])
        row(f"{name} | published", *_with_shares(found["published"], (1.0, 1.0)))
        row(f"{name} | default", *_with_shares(found["default"], shares[-1]))
    effect, cost = (statistics.fmean(column) for column in zip(*shares, strict=True))
    row("mean | default", "", effect, "", "", "", "", cost)
    reached = (verdict(effect, 0.95), verdict(cost, 0.1, at_most=True))
    row("bar | ", "", f"0.95 {reached[0]}", "", "", "", "", f"0.1 {reached[1]}")


def _with_shares(found: tuple[float, ...], shares: Sequence[float]) -> list[float]:
    return [found[0], shares[0], *found[1:], shares[1]]


def through_itself(
    pixels: Pixels, numbers: presets.AttackPreset, name: str, models: Path, judge: Observer
) -> tuple[float, float, float, float, float]:
    """Effect, progress to grey, SSIM, PSNR in dB and seconds of photoguard with these numbers."""
    table = presets.PRESETS["photoguard"]
    kept, table[name] = table[name], numbers
    begun = time.process_time()
    layer = attacked(pixels, "photoguard", encoder="taef2", models_dir=models, preset=name)
    taken = time.process_time() - begun
    table[name] = kept
    original, changed = (scaled_picture(each, pixels.shape[:2]) for each in (pixels, layer))
    progress = judge.progress(original, changed, np.full_like(original, 0.5))
    to_grey = math.nan if progress is None else progress
    quality = (metrics.ssim(pixels, layer), metrics.psnr(pixels, layer))
    return (judge.displacement(original, changed), to_grey, *quality, taken)


def median_time(work: Callable[[], object], repeats: int = 3) -> tuple[float, float]:
    """Return the median wall and processor time of `work` in seconds, after one run to warm up."""
    work()
    times = []
    for _ in range(repeats):
        begun, used = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - begun, time.process_time() - used))
    wall, processors = zip(*times, strict=True)
    return statistics.median(wall), statistics.median(processors)


def print_times(pictures: dict[str, Pixels], images: Path) -> None:
    """Print times of the stages, and times and memory of a whole job.

    Processor time is what other work on the machine changes least.
    """
    print(f"\n### Times, bundled, {thread_count()} threads, {os.cpu_count()} cores\n")
    print(f"load average before: {os.getloadavg()[0]:.1f}\n")
    print("| what | seconds | of processors | at most | | peak MiB |\n|---|---|---|---|---|---|")
    portrait = Image.open(images / "paintings" / "delaunay_portrait.jpg").convert("RGB")
    small = next(iter(pictures.values()))
    middle = np.array(portrait.resize((2000, 3000), Image.Resampling.LANCZOS))
    for name, pixels, bar in (("512x512", small, 4.0), ("2000x3000", middle, 10.0)):
        taken, used = median_time(lambda: attacked(pixels))  # noqa: B023
        row(f"three stages, {name}", taken, used, bar, verdict(taken, bar, at_most=True), "")
    for name, picture, bar in (
        ("4000x6000 JPEG", portrait.resize((4000, 6000), Image.Resampling.LANCZOS), 20.0),
        ("32x32 PNG", portrait.resize((32, 32)), 10.0),
    ):
        job = measured_job(picture, name.rpartition(" ")[2].lower())
        reached = verdict(job.seconds, bar, at_most=True)
        figures = (job.seconds, job.processor_seconds, bar, reached, round(job.peak_mib))
        row(f"whole default job, {name}", *figures)


def print_step(pictures: dict[str, Pixels], repeats: int = 9) -> None:
    """Print one step of the engine against the encoder's bare forward and backward pass.

    Both take turns, and the medians are compared, since other work on the machine moves both.
    """
    picture = scaled_picture(next(iter(pictures.values())), (SIDE, SIDE))
    encoder = load_encoder("bundled")
    observer = Observer(encoder)
    print("\n### One engine step against the bare forward and backward pass, bundled\n")
    print("| sizes | engine ms | bare ms | ratio | at most | |\n|---|---|---|---|---|---|")
    default = presets.PRESETS["photoguard"]["default"]
    for scales in ((1.0,), (1.0, 0.5)):
        weights = default.scale_weights[: len(scales)]
        preset = replace(default, scales=scales, scale_weights=weights)
        preset = replace(preset, rule=replace(default.rule, iterations=8))
        step, bare = [], []
        for _ in range(repeats):
            step.append(timed_step(picture, observer, preset))
            begun = time.perf_counter()
            for _ in range(8):
                bare_pass(picture, encoder, scales)
            bare.append((time.perf_counter() - begun) / 8)
        ratio = statistics.median(step) / statistics.median(bare)
        row(
            " + ".join(str(round(SIDE * scale)) for scale in scales),
            1000 * statistics.median(step),
            1000 * statistics.median(bare),
            ratio,
            1.15,
            verdict(ratio, 1.15, at_most=True),
        )


def timed_step(picture: Picture, observer: Observer, preset: presets.AttackPreset) -> float:
    """Return the seconds of one step, the mean of a short run with the loop's own objective."""
    target = np.full_like(picture, 0.5)
    objective = LatentObjective(
        observer.encoder,
        latents=observer.latent,
        original=picture,
        target=latent_at(observer.latent, target),
        preset=preset,
    )
    begun = time.perf_counter()
    start, bound = np.zeros_like(picture), np.full_like(picture[:, :1], 8 / 255)
    _, steps = optimise(
        picture,
        start=start,
        constraint=Box(picture, start, bound),
        objective=objective,
        rule=replace(preset.rule, plateau_span=0),
        seed=0,
        controls=Controls(),
    )
    return (time.perf_counter() - begun) / steps


def bare_pass(picture: Picture, encoder: Encoder, scales: tuple[float, ...]) -> None:
    """Return the encoder's forward and backward pass at each size, with nothing around it."""
    for scale in scales:
        view = scaled((SIDE, SIDE), scale).forward(picture)
        latent = np.zeros_like(encoder.latents(view))
        encoder.value_and_gradient(view, QuadraticObjective(latent, 1.0, latent))


def print_repeatable(pictures: dict[str, Pixels]) -> None:
    """Return whether the same seed gives the same bytes, and another seed others."""
    pixels = next(iter(pictures.values()))
    same = np.array_equal(attacked(pixels, seed=3), attacked(pixels, seed=3))
    other = np.array_equal(attacked(pixels, seed=3), attacked(pixels, seed=4))
    print(f"\nsame seed, same bytes: {same}; another seed, other bytes: {not other}")


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared" / "images")
    parser.add_argument("--models", type=Path, default=ROOT.parent / "shared" / "models")
    parser.add_argument("--only", nargs="+", metavar="TABLE", help="tables to print (default: all)")
    parser.add_argument(
        "--published",
        nargs="+",
        metavar="PICTURE",
        default=PUBLISHED_PICTURES,
        help="pictures of the table `published` (default: %(default)s)",
    )
    options = parser.parse_args()
    pictures = held_out(options.images)
    judge = Observer(load_encoder("taef2", EncoderOptions(models_dir=options.models)))
    tables: dict[str, Callable[[], object]] = {
        "transfer": lambda: print_transfer(pictures, judge, "medium"),
        "strengths": lambda: [print_transfer(pictures, judge, name) for name in ("low", "high")],
        "step": lambda: print_step(pictures),
        "times": lambda: print_times(pictures, options.images),
        "faces": lambda: faces.print_faces(options.images),
        "face-times": lambda: faces.print_times(options.images),
        "repeat": lambda: print_repeatable(pictures),
        "published": lambda: print_published(pictures, options.published, options.models, judge),
    }
    for name in options.only or tables:
        tables[name]()


if __name__ == "__main__":
    main()
