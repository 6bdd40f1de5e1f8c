"""Score the bundled encoder as a surrogate: ``python -m training.evaluate``.

Held-out pictures are attacked through it at Linf 8 of 255, away from the original at full and
half size together, and looked at with the teacher. Effect = relative displacement of latents,
norm(E(x') - E(x)) / norm(E(x)), over that of random signs of the same mean square error;
1 means no better than noise. The teacher attacked through itself is the ceiling.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from artscraper_runner.attacks.constraints import Box
from artscraper_runner.attacks.evaluation import VIEWS, Observer, effect_record
from artscraper_runner.attacks.pgd import optimise
from artscraper_runner.attacks.presets import AttackPreset, ObjectiveWeights, StepRule
from artscraper_runner.attacks.transforms import to_picture, to_pixels
from artscraper_runner.latent.objectives import LatentObjective, latent_at
from artscraper_runner.models import load_encoder
from artscraper_runner.models.protocol import Encoder, EncoderOptions
from artscraper_runner.types import Controls
from training.pictures import HELD_OUT, SUFFIXES

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One attack's settings."""

    budget: float = 8.0  # Linf, of 255
    steps: int = 12  # sign steps of budget / 4, momentum 1
    size: int = 512  # pixels of the square pictures
    seed: int = 0


def held_out_pictures(folder: Path, *, size: int) -> dict[str, Array]:
    """Return the held-out pictures by name, centre-cropped, float32 (1, 3, size, size) in [0, 1].

    Raises:
        FileNotFoundError: one of them is not under the folder.
    """
    files = {path.stem: path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES}
    missing = [name for name in HELD_OUT if name not in files]
    if missing:
        raise FileNotFoundError(f"expected held-out pictures {missing} under {folder}")
    return {name: _square(files[name], size) for name in HELD_OUT}


def attacked(encoder: Encoder, picture: Array, trial: Trial) -> Array:
    """Return a picture within the budget whose latents at two sizes are far from the original's."""
    rule = StepRule(
        iterations=trial.steps, first_step=0.25, last_step=0.25, momentum=1.0, start_noise=1.0
    )
    preset = AttackPreset(
        rule=rule,
        weights=ObjectiveWeights(away=1.0),
        scales=(1.0, 0.5),
        scale_weights=(1.0, 1.0),
        is_bounded_by_sight=False,
    )
    start = np.zeros_like(picture)
    bound = np.full((1, 1, *picture.shape[2:]), trial.budget / 255, np.float32)
    change, _ = optimise(
        picture,
        start=start,
        constraint=Box(picture, start, bound),
        objective=LatentObjective(
            encoder,
            latents=encoder.latents,
            original=picture,
            target=latent_at(encoder.latents, picture),
            preset=preset,
        ),
        rule=rule,
        seed=trial.seed,
        controls=Controls(),
    )
    return as_saved(picture + change)


def as_saved(picture: Array) -> Array:
    """Return a picture rounded to 8 bits."""
    return to_picture(to_pixels(picture))


def effects(attacker: Encoder, judge: Encoder, picture: Array, trial: Trial) -> dict[str, float]:
    """Return the effect on the judge under each view, relative to random signs."""
    protected = attacked(attacker, picture, trial)
    record = effect_record(Observer(judge), picture, protected)
    return {name: record["times_noise"][name] or 0.0 for name in VIEWS}


def report(attacker: Encoder, judge: Encoder, folder: Path, trial: Trial) -> dict[str, float]:
    """Print a table of effects over the held-out pictures and return their means."""
    rows = []
    print(f"\nattacked through {attacker.name}, seen by {judge.name}")
    print("| picture |", " | ".join(VIEWS), "| seconds |")
    for name, picture in held_out_pictures(folder, size=trial.size).items():
        started = time.monotonic()
        rows.append(effects(attacker, judge, picture, trial))
        print(
            _row(name, list(rows[-1].values())), f"{time.monotonic() - started:.1f} |", flush=True
        )
    means = {name: float(np.mean([row[name] for row in rows])) for name in VIEWS}
    print(_row("mean", list(means.values())))
    return means


def _row(name: str, values: Sequence[float]) -> str:
    return f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |"


def _square(path: Path, size: int) -> Array:
    upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    square = ImageOps.fit(upright, (size, size), Image.Resampling.LANCZOS)
    return to_picture(np.asarray(square))


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder with the held-out ones")
    parser.add_argument("--models", type=Path, required=True, help="folder with the teacher's file")
    parser.add_argument("--attackers", nargs="+", default=["bundled", "taef2"])
    parser.add_argument("--judge", default="taef2")
    parser.add_argument("--steps", type=int, default=Trial.steps)
    options = parser.parse_args(arguments)
    judge = load_encoder(options.judge, EncoderOptions(models_dir=options.models))
    for name in options.attackers:
        attacker = load_encoder(name, EncoderOptions(models_dir=options.models))
        report(attacker, judge, options.images, Trial(steps=options.steps))


if __name__ == "__main__":
    main()
