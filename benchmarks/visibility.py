"""Print how visible each strength is, by judges from outside, and what it does to an encoder.

Run `python benchmarks/visibility.py --images DIR --models DIR` from the repository root. DIRs hold
the sample pictures and taef2's weights. Every picture goes through a whole job of the command line
in a process of its own, so `--baseline PATH` prints another revision's tables beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from artscraper_runner.imaging.filters import PLACE  # noqa: E402
from artscraper_runner.imaging.visibility import VisibilityModel  # noqa: E402
from benchmarks.drawings import DRAWINGS  # noqa: E402
from benchmarks.judges import JUDGES, Judge, ssimulacra2  # noqa: E402
from benchmarks.latent_effects import FeatureEffects, LatentEffects  # noqa: E402
from benchmarks.protection import held_out  # noqa: E402

Pixels = NDArray[np.uint8]
ATTACKS = ("photoguard", "mist", "nightshade")
STRENGTHS = ("low", "medium", "high")
SIDE = 512  # px of every picture but the large ones
LARGE = (2000, 3000)  # px, width and height
SEED = "1"
CROP = 208  # px
_SIGN_STEPS = 4  # of the search for signs that are as visible


@dataclass(frozen=True)
class ProtectedPicture:
    """A picture and its layers by stage, in order, uint8 (H, W, 3)."""

    name: str
    original: Pixels
    layers: dict[str, Pixels]

    @property
    def final(self) -> Pixels:
        """The last layer."""
        return list(self.layers.values())[-1]

    @property
    def attacked(self) -> Pixels:
        """The layer of the last attack."""
        return self.layers[ATTACKS[-1]]


def benchmark_pictures(images: Path, names: Sequence[str] | None) -> dict[str, Pixels]:
    """Return the eight held-out pictures and the five drawings, or those of `names`."""
    pictures = held_out(images) | {name: draw(SIDE, SIDE) for name, draw in DRAWINGS.items()}
    return {name: pictures[name] for name in names or pictures}


def large_pictures(images: Path) -> dict[str, Pixels]:
    """Return a painting and two drawings at 2000x3000 px."""
    portrait = Image.open(images / "paintings" / "delaunay_portrait.jpg").convert("RGB")
    pictures = {"delaunay_portrait": np.array(portrait.resize(LARGE, Image.Resampling.LANCZOS))}
    return pictures | {name: DRAWINGS[name](*LARGE) for name in ("anime", "night")}


def protected(
    tree: Path, pictures: dict[str, Pixels], strength: str, stages: Sequence[str] = ()
) -> Iterator[ProtectedPicture]:
    """Yield the pictures after a job of the revision checked out at `tree`.

    `stages` are those of the job; empty = the default ones.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, results = Path(folder) / "pictures", Path(folder) / "results"
        source.mkdir()
        for name, pixels in pictures.items():
            Image.fromarray(pixels).save(source / f"{name}.png")
        command = [sys.executable, "-m", "artscraper_runner", "protect", str(source)]
        command += ["--out", str(results), "--strength", strength, "--seed", SEED]
        command += ["--watermark-text", "benchmark", "--no-analysis"]
        command += ["--stages", ",".join(stages)] if stages else []
        environment = os.environ | {"PYTHONPATH": str(tree), "OMP_WAIT_POLICY": "PASSIVE"}
        subprocess.run(
            command,
            check=True,
            cwd=tree,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for name, pixels in pictures.items():
            summary = json.loads((results / name / "summary.json").read_text())
            layers = {
                layer["stage"]: np.asarray(
                    Image.open(results / name / layer["path"]).convert("RGB")
                )
                for layer in summary["layers"][1:]
            }
            yield ProtectedPicture(name, pixels, layers)


def random_signs(pixels: Pixels, amplitude: float) -> Pixels:
    """Return `pixels` with random signs of `amplitude`, in levels; fractions by dithering."""
    rng = np.random.default_rng(5)
    low = int(amplitude)
    size = low + (rng.random(pixels.shape, np.float32) < amplitude - low)
    change = size * rng.choice(np.array([-1, 1], np.int16), pixels.shape)
    return np.clip(pixels + change, 0, 255).astype(np.uint8)


def equally_visible_signs(judge: Judge, original: Pixels, changed: Pixels) -> Pixels:
    """Return random signs on `original` that `judge` finds as visible as `changed`."""
    wanted = judge.visibility(original, changed)
    low, high = 0.05, 40.0
    amplitude = 3.0
    for _ in range(_SIGN_STEPS):
        reached = judge.visibility(original, random_signs(original, amplitude))
        low, high = (amplitude, high) if reached < wanted else (low, amplitude)
        guess = amplitude * wanted / max(reached, 1e-6)  # visibility is about proportional
        amplitude = guess if low < guess < high else (low * high) ** 0.5
    return random_signs(original, amplitude)


def row(name: str, *values: object) -> None:
    """Print one line of a table."""
    cells = [f"{value:.2f}" if isinstance(value, float) else str(value) for value in values]
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def print_visibility(title: str, jobs: Sequence[ProtectedPicture]) -> None:
    """Print what the judges say of the final layers."""
    print(f"\n### Visibility of the last layer, {title}\n")
    print("| picture | Butteraugli | SSIMULACRA2 | FLIP | Linf | mark's cost, SSIMULACRA2 |")
    print("|---|---|---|---|---|---|")
    values = []
    for job in jobs:
        seen = [judge.as_published(judge.visibility(job.original, job.final)) for judge in JUDGES]
        linf = int(np.abs(job.final.astype(int) - job.original).max())
        unmarked = ssimulacra2(job.original, job.attacked)
        values.append([*seen, unmarked - seen[1]])
        row(job.name, seen[0], seen[1], f"{seen[2]:.4f}", linf, values[-1][3])
    butteraugli, scores, _, costs = zip(*values, strict=True)
    row("median, mean", statistics.median(butteraugli), statistics.fmean(scores), "", "", "")
    drawn = [cost for job, cost in zip(jobs, costs, strict=True) if job.name in DRAWINGS]
    row("worst", max(butteraugli), min(scores), "", "", max(drawn) if drawn else "")


def save_crops(folder: Path, jobs: dict[str, Sequence[ProtectedPicture]]) -> None:
    """Write the worst place of each picture: the original beside the last layer of each job."""
    folder.mkdir(parents=True, exist_ok=True)
    for same in zip(*jobs.values(), strict=True):
        original = same[0].original
        seen = VisibilityModel(original).places(same[-1].final)
        row, column = np.unravel_index(int(seen.argmax()), seen.shape)
        top, left = (
            int(np.clip(PLACE * at - CROP // 2, 0, side - CROP))
            for at, side in zip((row, column), original.shape[:2], strict=True)
        )
        parts = [original, *(job.final for job in same)]
        crops = [part[top : top + CROP, left : left + CROP] for part in parts]
        Image.fromarray(np.concatenate(crops, axis=1)).save(
            folder / f"{same[0].name}.webp", lossless=True
        )


def print_effects(title: str, jobs: Sequence[ProtectedPicture], effects: LatentEffects) -> None:
    """Print what the attacks alone show, and do to taef2 beside noise.

    `x signs`: multiples of the effect of random signs that each judge finds as visible.
    """
    print(f"\n### Effect of the attacks on {effects.name}, {title}\n")
    print(
        "| picture | Butteraugli | SSIMULACRA2 | effect | x signs by Butteraugli"
        " | by SSIMULACRA2 | by FLIP | least | x shaped | after JPEG 75 | JPEG 75 alone |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    rows = []
    for job in jobs:
        seen = [
            judge.as_published(judge.visibility(job.original, job.attacked)) for judge in JUDGES[:2]
        ]
        effect = effects.effect(job.original, job.attacked)
        signs = [
            effect
            / effects.effect(job.original, equally_visible_signs(judge, job.original, job.attacked))
            for judge in JUDGES
        ]
        shaped = effects.times_shaped(job.original, job.attacked)
        jpeg = effects.of_jpeg(job.original)
        rows.append([*seen, effect, *signs, min(signs), *shaped, jpeg])
        row(job.name, *rows[-1])
    for group, members in grouped(jobs).items():
        chosen = [rows[index] for index in members]
        row(f"{group}, mean", *(statistics.fmean(column) for column in zip(*chosen, strict=True)))


def grouped(jobs: Sequence[ProtectedPicture]) -> dict[str, list[int]]:
    """Return the indices of photographs and paintings, and of drawings, where there are any."""
    groups: dict[str, list[int]] = {}
    for index, job in enumerate(jobs):
        group = "drawings" if job.name in DRAWINGS else "photographs and paintings"
        groups.setdefault(group, []).append(index)
    return groups


def print_directions(title: str, jobs: Sequence[ProtectedPicture], effects: LatentEffects) -> None:
    """Print the mean cosine of what each stage adds with the directions of the three targets."""
    print(f"\n### Cosine of each stage's own change with the targets' directions, {title}\n")
    print("| stage | grey | pattern | forest |\n|---|---|---|---|")
    cosines: dict[str, list[list[float]]] = {name: [] for name in ATTACKS}
    for job in jobs:
        before = job.layers.get("fawkes", job.original)
        for name in ATTACKS:
            cosines[name].append(effects.cosines(job.original, before, job.layers[name]))
            before = job.layers[name]
    for group, members in grouped(jobs).items():
        for name, values in cosines.items():
            chosen = [values[index] for index in members]
            row(f"{name}, {group}", *np.nanmean(chosen, axis=0).tolist())


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared" / "images")
    parser.add_argument("--models", type=Path, default=ROOT.parent / "shared" / "models")
    parser.add_argument("--strengths", nargs="+", default=STRENGTHS, choices=STRENGTHS)
    parser.add_argument("--pictures", nargs="+", metavar="NAME", help="default: all thirteen")
    parser.add_argument("--large", action="store_true", help="three pictures at 2000x3000 instead")
    parser.add_argument("--baseline", type=Path, help="checkout of another revision to print too")
    parser.add_argument("--attacks-only", action="store_true", help="no cloak and no watermark")
    parser.add_argument(
        "--unseen", action="store_true", help="effects on a network of another family, too"
    )
    parser.add_argument("--visibility-only", action="store_true", help="skip the effects")
    parser.add_argument(
        "--crops", type=Path, help="folder for crops of the last layers, and no table"
    )
    options = parser.parse_args()
    if options.large:
        pictures = large_pictures(options.images)
    else:
        pictures = benchmark_pictures(options.images, options.pictures)
    if options.crops:
        strengths = {each: list(protected(ROOT, pictures, each)) for each in options.strengths}
        save_crops(options.crops, strengths)
        return
    effects = LatentEffects(options.models)
    trees = {"this revision": ROOT} | ({"baseline": options.baseline} if options.baseline else {})
    for strength in options.strengths:
        for tree_name, tree in trees.items():
            title = f"{strength}, {tree_name}"
            jobs = list(
                protected(tree, pictures, strength, ATTACKS if options.attacks_only else ())
            )
            print_visibility(title, jobs)
            if options.visibility_only:
                continue
            if not options.attacks_only:
                jobs = list(protected(tree, pictures, strength, ATTACKS))
            print_effects(title, jobs, effects)
            if options.unseen:
                print_effects(title, jobs, FeatureEffects())
            print_directions(title, jobs, effects)


if __name__ == "__main__":
    main()
