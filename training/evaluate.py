"""Score the bundled encoder as a surrogate: ``python -m training.evaluate``.

Held-out pictures are attacked through it at Linf 8 of 255, away from the original at full and
half size together, and looked at with the teacher. Effect = relative displacement of latents,
norm(E(x') - E(x)) / norm(E(x)), over that of random signs of the same mean square error;
1 means no better than noise. The teacher attacked through itself is the ceiling.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn import functional

from artscraper_runner.models import load_encoder
from artscraper_runner.models.base import Encoder
from training.attacks import as_is, halved
from training.pictures import HELD_OUT, SUFFIXES

View = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One attack's settings."""

    budget: float = 8.0  # Linf, of 255
    steps: int = 12  # sign steps of budget / 4, momentum 1
    size: int = 512  # pixels of the square pictures
    seed: int = 0


def held_out_pictures(folder: Path, *, size: int) -> dict[str, torch.Tensor]:
    """Answer the held-out pictures by name, centre-cropped, float32 (1, 3, size, size) in [0, 1].

    Raises:
        FileNotFoundError: one of them is not under the folder.
    """
    files = {path.stem: path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES}
    missing = [name for name in HELD_OUT if name not in files]
    if missing:
        raise FileNotFoundError(f"expected held-out pictures {missing} under {folder}")
    return {name: _square(files[name], size) for name in HELD_OUT}


def attacked(encoder: Encoder, picture: torch.Tensor, trial: Trial) -> torch.Tensor:
    """Answer a picture within the budget whose latents at two sizes are far from the original's.

    Momentum on the normalised gradient after Dong et al. 2018 (arXiv 1710.06081).
    """
    budget, generator = trial.budget / 255, torch.Generator().manual_seed(trial.seed)
    views: tuple[View, ...] = (as_is, halved)
    with torch.no_grad():
        originals = [encoder(view(picture)) for view in views]
    change = (torch.rand(picture.shape, generator=generator) * 2 - 1) * budget
    momentum = torch.zeros_like(picture)
    for _ in range(trial.steps):
        change.requires_grad_(True)
        moved = torch.zeros(())
        for view, original in zip(views, originals, strict=True):
            distance = (encoder(view(picture + change)) - original).square().mean()
            moved = moved + distance / original.square().mean()
        (gradient,) = torch.autograd.grad(moved, change)
        momentum = momentum + gradient / gradient.abs().mean()
        change = (change.detach() + budget / 4 * momentum.sign()).clamp(-budget, budget)
        change = (picture + change).clamp(0, 1) - picture
    return as_saved(picture + change)


def random_signs(picture: torch.Tensor, like: torch.Tensor, *, seed: int) -> torch.Tensor:
    """Answer a picture changed by random signs with the mean square error of ``like``."""
    signs = torch.randn(picture.shape, generator=torch.Generator().manual_seed(seed)).sign()
    wanted = (like - picture).square().mean().sqrt()
    size = wanted.clone()
    for _ in range(8):  # clipping at black and white takes some away
        changed = (picture + size * signs).clamp(0, 1)
        size = size * wanted / (changed - picture).square().mean().sqrt()
    return as_saved((picture + size * signs).clamp(0, 1))


def as_saved(picture: torch.Tensor) -> torch.Tensor:
    """Answer a picture rounded to 8 bits."""
    return (picture * 255).round() / 255


def through_jpeg(picture: torch.Tensor, *, quality: int = 75) -> torch.Tensor:
    """Answer a picture (1, 3, H, W) after one JPEG save with Pillow's chroma subsampling."""
    pixels = (picture[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return _tensor(Image.open(buffer))


def halved_and_back(picture: torch.Tensor) -> torch.Tensor:
    """Answer a picture after halving its size and enlarging it again."""
    size = (picture.shape[-2], picture.shape[-1])
    back = functional.interpolate(halved(picture), size=size, mode="bicubic", align_corners=False)
    return back.clamp(0, 1)


CONDITIONS: dict[str, View] = {
    "plain": as_is,
    "JPEG 75": through_jpeg,
    "halved": halved_and_back,
}


@torch.no_grad()
def displacements(encoder: Encoder, original: torch.Tensor, changed: torch.Tensor) -> torch.Tensor:
    """Answer norm(E(x') - E(x)) / norm(E(x)) of each changed picture of one original."""
    latents = encoder(torch.cat([original, changed])).flatten(1)
    moved: torch.Tensor = (latents[1:] - latents[0]).norm(dim=1) / latents[0].norm()
    return moved


def effects(
    attacker: Encoder, judge: Encoder, picture: torch.Tensor, trial: Trial
) -> dict[str, float]:
    """Answer the effect on the judge under each condition, relative to random signs."""
    protected = attacked(attacker, picture, trial)
    noisy = random_signs(picture, protected, seed=trial.seed)
    answers = {}
    for name, view in CONDITIONS.items():
        both = torch.cat([view(protected), view(noisy)])
        ours, random = displacements(judge, view(picture), both).tolist()
        answers[name] = ours / random
    return answers


def report(attacker: Encoder, judge: Encoder, folder: Path, trial: Trial) -> dict[str, float]:
    """Print a table of effects over the held-out pictures and answer their means."""
    rows = []
    print(f"\nattacked through {attacker.name}, seen by {judge.name}")
    print("| picture |", " | ".join(CONDITIONS), "| seconds |")
    for name, picture in held_out_pictures(folder, size=trial.size).items():
        started = time.monotonic()
        rows.append(effects(attacker, judge, picture, trial))
        print(
            _row(name, list(rows[-1].values())), f"{time.monotonic() - started:.1f} |", flush=True
        )
    means = {name: float(np.mean([row[name] for row in rows])) for name in CONDITIONS}
    print(_row("mean", list(means.values())))
    return means


def _row(name: str, values: Sequence[float]) -> str:
    return f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |"


def _square(path: Path, size: int) -> torch.Tensor:
    upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    return _tensor(ImageOps.fit(upright, (size, size), Image.Resampling.LANCZOS))


def _tensor(picture: Image.Image) -> torch.Tensor:
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder with the held-out ones")
    parser.add_argument("--models", type=Path, required=True, help="folder with the teacher's file")
    parser.add_argument("--attackers", nargs="+", default=["bundled", "taef2"])
    parser.add_argument("--judge", default="taef2")
    parser.add_argument("--steps", type=int, default=Trial.steps)
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's)")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    judge = load_encoder(options.judge, models_dir=options.models)
    for name in options.attackers:
        attacker = load_encoder(name, models_dir=options.models)
        report(attacker, judge, options.images, Trial(steps=options.steps))


if __name__ == "__main__":
    main()
