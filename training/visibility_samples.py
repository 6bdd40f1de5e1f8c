"""Collect changes of pictures with a judge's word on each, to fit `imaging.visibility`.

Run `python -m training.visibility_samples --images DIR --out FILE` from the repository root, with
Debian's `butteraugli` installed. Only training pictures and drawn ones are used. Whole jobs give
the attacks', the marks' and the cloaks' own changes; the other kinds are drawn.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy import ndimage

from benchmarks.judges import butteraugli
from benchmarks.visibility import ATTACKS, ROOT, ProtectedPicture, protected
from training import pictures, procedural

Pixels = NDArray[np.uint8]
Change = NDArray[np.float32]  # (h, w, 3), in levels
SIDE = 512  # px of the pictures
CROP = 192  # px of a sample
DRAWN = 10  # pictures of `procedural`
FLAT = 4  # pictures of flat colours with lines
STRENGTHS = ("medium", "high")
GAINS = (0.35, 2.2)  # of every change, drawn for each sample
KEPT = (0.3, 6.0)  # Butteraugli's value of a sample that is kept


def flat_drawing(rng: np.random.Generator) -> Pixels:
    """Return flat coloured shapes with sharp edges and no grain, uint8 (SIDE, SIDE, 3)."""
    cells = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    cells[rng.random((4, 4)) < 0.3] = 245
    image = Image.fromarray(cells).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    return np.asarray(image.rotate(float(rng.uniform(0, 45)), fillcolor=(230, 225, 215)))


def training_pictures(images: Path, rng: np.random.Generator) -> dict[str, Pixels]:
    """Return the training pictures and drawn ones by name, uint8 (SIDE, SIDE, 3)."""
    found: dict[str, Pixels] = {}
    for path in [ROOT / "input" / "astronaut.jpg", *sorted(images.rglob("*"))]:
        if path.suffix.lower() in pictures.SUFFIXES and not pictures.is_held_out(path):
            upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
            found[path.stem] = np.array(ImageOps.fit(upright, (SIDE, SIDE)))
    for index in range(DRAWN):
        found[f"drawn_{index}"] = np.array(procedural.picture(rng, size=SIDE))
    for index in range(FLAT):
        found[f"flat_{index}"] = flat_drawing(rng)
    return found


def job_changes(job: ProtectedPicture) -> Iterator[tuple[str, Change]]:
    """Yield the change of each kind that a job made of its picture."""
    layers = {"original": job.original, **job.layers}
    attacked, unmarked = layers[ATTACKS[-1]], list(layers.values())[-2]
    cloaked = layers.get("fawkes", job.original)
    parts = {
        "cloak": (job.original, cloaked),
        "attacks": (cloaked, attacked),
        "mark": (unmarked, job.final),
        "whole job": (job.original, job.final),
    }
    for kind, (before, after) in parts.items():
        change = after.astype(np.float32) - before
        if np.abs(change).max() > 0:
            yield kind, change


def signs(pixels: Pixels, rng: np.random.Generator) -> Change:
    """Random signs."""
    return 2 * rng.choice(np.array([-1, 1], np.float32), pixels.shape)


def grain(pixels: Pixels, rng: np.random.Generator) -> Change:
    """Normal noise, the same in all channels."""
    return np.repeat(rng.normal(0, 2, (*pixels.shape[:2], 1)), 3, axis=2).astype(np.float32)


def band_noise(pixels: Pixels, rng: np.random.Generator) -> Change:
    """Noise of one octave, of one random colour or grey."""
    sigma = 2 ** rng.uniform(-0.5, 3)
    white = rng.standard_normal(pixels.shape[:2]).astype(np.float32)
    noise = ndimage.gaussian_filter(white, sigma) - ndimage.gaussian_filter(white, 2 * sigma)
    colour = np.ones(3) if rng.random() < 0.5 else rng.normal(0, 1, 3)
    return np.asarray(3 * (noise / noise.std())[..., None] * colour, np.float32)


def masked_noise(pixels: Pixels, rng: np.random.Generator) -> Change:
    """Noise of one octave that follows the picture's own texture."""
    luma = pixels.mean(2)
    activity = ndimage.gaussian_filter(np.square(luma - ndimage.gaussian_filter(luma, 3)), 6)
    weight = np.sqrt(activity / (activity.mean() + 1e-3))
    return np.asarray(band_noise(pixels, rng) * weight.clip(0, 3)[..., None], np.float32)


def spot(pixels: Pixels, rng: np.random.Generator) -> Change:
    """Return a change like a cloak's: fine and wide noise of luma and colour in one soft square."""
    rows, columns = (np.arange(side) for side in pixels.shape[:2])
    centre, size = rng.uniform(0.3, 0.7, 2) * pixels.shape[:2], rng.uniform(25, 60)
    window = np.exp(-(((rows - centre[0]) / size) ** 4))[:, None]
    window = window * np.exp(-(((columns - centre[1]) / size) ** 4))
    white = rng.standard_normal(pixels.shape).astype(np.float32)
    noise = sum(
        weight * ndimage.gaussian_filter(white, (sigma, sigma, 0)) * (2 * sigma)
        for sigma, weight in ((0.7, 1.0), (1.5, 1.0), (3.0, rng.uniform(0, 0.7)))
    )
    return np.asarray(2 * noise * window[..., None], np.float32)


def jpeg(pixels: Pixels, rng: np.random.Generator) -> Change:
    """Return the change that JPEG makes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=int(rng.integers(60, 97)))
    return np.asarray(Image.open(file), np.float32) - pixels


def softened(pixels: Pixels, rng: np.random.Generator) -> Change:
    """Return the change of a blur, or of as much sharpening."""
    sigma = float(rng.uniform(0.4, 1))
    blurred = ndimage.gaussian_filter(pixels.astype(np.float32), (sigma, sigma, 0))
    return np.asarray(rng.choice([-0.5, 0.5]) * (blurred - pixels), np.float32)


DRAWN_KINDS: dict[str, Callable[[Pixels, np.random.Generator], Change]] = {
    "signs": signs,
    "grain": grain,
    "band noise": band_noise,
    "masked noise": masked_noise,
    "spot": spot,
    "jpeg": jpeg,
    "softened": softened,
}


def samples(
    jobs: list[ProtectedPicture], rng: np.random.Generator, *, per_kind: int
) -> Iterator[tuple[str, str, Pixels, Pixels]]:
    """Yield kind, picture's name, original and changed crop, endlessly varied by `rng`."""
    for job in jobs:
        found = list(job_changes(job))
        for kind, change in found:
            for _ in range(per_kind):
                yield kind, job.name, *_crop(job.original, change, rng)
        for kind, draw in DRAWN_KINDS.items():
            yield kind, job.name, *_crop(job.original, draw(job.original, rng), rng)


def _crop(pixels: Pixels, change: Change, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
    """Return a crop with the change, where a crop's share of it is among the larger ones."""
    energy = ndimage.uniform_filter(np.square(change).sum(2), CROP, mode="constant")
    half = CROP // 2
    inside = energy[half:-half, half:-half]
    tops, lefts = np.nonzero(inside >= np.quantile(inside, rng.uniform(0, 0.9)))
    chosen = rng.integers(len(tops))
    part = np.s_[tops[chosen] : tops[chosen] + CROP, lefts[chosen] : lefts[chosen] + CROP]
    gain = np.exp(rng.uniform(*np.log(GAINS)))
    changed = np.clip(np.rint(pixels[part] + gain * change[part]), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels[part]), changed


def main() -> None:
    """Write the samples."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared" / "images")
    parser.add_argument("--out", type=Path, default=ROOT / "training" / "runs" / "visibility.npz")
    parser.add_argument("--per-kind", type=int, default=2, help="samples of a job's changes")
    options = parser.parse_args()
    rng = np.random.default_rng(11)
    originals = training_pictures(options.images, rng)
    rows: list[tuple[str, str, Pixels, Pixels, float]] = []
    for strength in STRENGTHS:
        jobs = list(protected(ROOT, originals, strength))
        for kind, name, original, changed in samples(jobs, rng, per_kind=options.per_kind):
            seen = butteraugli(original, changed)
            if KEPT[0] <= seen <= KEPT[1]:
                rows.append((kind, name, original, changed, seen))
        kinds, names, before, after, judged = zip(*rows, strict=True)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            options.out,
            kinds=np.array(kinds),
            names=np.array(names),
            originals=np.stack(before),
            changed=np.stack(after),
            butteraugli=np.array(judged, np.float32),
        )
        print(f"{len(rows)} samples after {strength}", flush=True)


if __name__ == "__main__":
    main()
