"""Fit the numbers of `imaging.visibility` to a judge's words on training pictures.

Run `python -m training.fit_visibility --samples FILE` from the repository root, after
`training.visibility_samples`. Prints how well each kind of change is predicted, before and after,
on the pictures that were fitted and on a quarter that was held out, and the fitted numbers.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from artscraper_runner.imaging import visibility
from artscraper_runner.imaging.visibility import VisibilityModel, to_planes
from benchmarks.visibility import ROOT

Floats = NDArray[np.float32]
KEPT_PLACES = 250  # of a sample, those that may be its worst
ROUNDS, RATE = 400, 0.02
WEIGHTS = {"attacks": 3.0, "cloak": 2.0, "mark": 3.0, "whole job": 3.0, "softened": 0.2}  # else 1
STAY = 0.004  # weight of the squared distance of a logarithm from where it began
CAPS = (1.2, 2.8)  # of masking, times the threshold
BANDS, COLOURS = visibility._THRESHOLD.shape


def place_values(original: Floats, changed: Floats) -> tuple[Floats, Floats, Floats]:
    """Return calm activity and change (P, bands, colours), and luma (P,), of the worst places."""
    model = VisibilityModel(original)
    activity = model._energies(model._seen)
    calm = np.stack([ndimage.minimum_filter(each, (1, 3, 3)) for each in activity])
    luma = visibility._in_places(model._seen[1:2], 0, model._places)[0]
    energies = model._energies(visibility._opponent(changed) - model._seen)
    near = np.stack([visibility._nearby(each) for each in energies])
    flat = [each.reshape(BANDS * COLOURS, -1).T for each in (calm, near)]
    seen = model.places(changed).ravel()
    unmasked = (flat[1] / np.square(visibility._THRESHOLD).ravel()).sum(1)
    masked = (flat[1] / (flat[0] + 1e-6)).sum(1)
    best = np.unique(
        np.concatenate([np.argsort(-each)[: KEPT_PLACES // 3] for each in (seen, unmasked, masked)])
    )
    best = np.resize(best, KEPT_PLACES)
    calm, near = (each[best].reshape(-1, BANDS, COLOURS).astype(np.float32) for each in flat)
    return calm, near, luma.ravel()[best].astype(np.float32)


class Numbers(torch.nn.Module):
    """The model's numbers, as logarithms that stay near where they begin."""

    def __init__(self) -> None:
        super().__init__()
        caps = np.broadcast_to(visibility._MOST_MASKING, (BANDS, COLOURS))
        begin = {
            "threshold": visibility._THRESHOLD,
            "masking": visibility._MASKING,
            "luma_masks_colour": visibility._LUMA_MASKS_COLOUR,
            "next_band": np.array([visibility._NEXT_BAND_MASKS]),
            "most_masking": caps,
            "plain": np.array([visibility._PLAIN]),
        }
        self.begin = {
            name: torch.tensor(np.log(value), dtype=torch.float32) for name, value in begin.items()
        }
        self.logs = torch.nn.ParameterDict(
            {name: torch.nn.Parameter(value.clone()) for name, value in self.begin.items()}
        )

    def forward(self, calm: torch.Tensor, near: torch.Tensor, luma: torch.Tensor) -> torch.Tensor:
        """Return the visibility (N,) of samples with places (N, P, bands, colours)."""
        value = {name: log.exp() for name, log in self.logs.items()}
        grain = (calm[:, :, 0, 1] / visibility._GRAIN**2).clamp(max=1)
        plain = value["plain"] ** 2 + (1 - value["plain"] ** 2) * grain
        plain = (plain * torch.exp(visibility._DARKER * (0.5 - luma)))[..., None, None]
        following = torch.cat([calm[:, :, 1:], calm[:, :, -1:]], dim=2)
        mask = calm + value["next_band"] * following
        luma_share = value["luma_masks_colour"][:, None] * calm[..., 1:2]
        mask = mask + luma_share * torch.tensor([1.0, 0.0, 1.0])
        threshold = value["threshold"].square() * plain
        cap = value["most_masking"].clamp(*CAPS).square()
        limit = torch.minimum(threshold + value["masking"].square() * mask, cap * threshold)
        return (near / limit).sum((2, 3)).max(dim=1).values.clamp(min=1e-9).sqrt()

    def strayed(self) -> torch.Tensor:
        """Return the mean squared distance of the logarithms from where they began."""
        parts = [(self.logs[name] - self.begin[name]).square().sum() for name in self.begin]
        return torch.stack(parts).sum()


def print_ratios(title: str, ratios: Mapping[str, list[float]]) -> None:
    """Print the median of predicted over judged, and the spread of its logarithm, by kind."""
    print(f"\n{title}\n\n| kind | samples | median ratio | spread |\n|---|---|---|---|")
    for kind, values in ratios.items():
        spread = statistics.pstdev(values)
        print(
            f"| {kind} | {len(values)} | {np.exp(statistics.median(values)):.2f} | {spread:.2f} |"
        )


def fitted(
    places: tuple[torch.Tensor, ...], judged: torch.Tensor, kinds: NDArray[np.str_]
) -> Numbers:
    """Return the numbers that predict `judged` (N,) best, every kind counting alike."""
    numbers = Numbers()
    optimiser = torch.optim.Adam(numbers.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, ROUNDS)
    found = np.unique(kinds)
    groups = [torch.from_numpy(np.flatnonzero(kinds == kind)) for kind in found]
    weights = torch.tensor([WEIGHTS.get(kind, 1.0) for kind in found])
    weights /= weights.sum()
    for _ in range(ROUNDS):
        error = numbers(*places).log() - judged.log()
        by_kind = [error[group] for group in groups]
        spread = weights @ torch.stack([each.square().mean() for each in by_kind])
        bias = weights @ torch.stack([each.mean().square() for each in by_kind])
        loss = spread + 4 * bias + STAY * numbers.strayed()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return numbers


def main() -> None:
    """Fit, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    samples = ROOT / "training" / "runs" / "visibility.npz"
    parser.add_argument("--samples", type=Path, default=samples)
    options = parser.parse_args()
    loaded = np.load(options.samples)
    kinds, names = loaded["kinds"], loaded["names"]
    pairs = zip(loaded["originals"], loaded["changed"], strict=True)
    rows = [place_values(to_planes(before), to_planes(after)) for before, after in pairs]
    places = tuple(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True))
    judged = torch.from_numpy(loaded["butteraugli"])
    unique = np.unique(names)
    held = np.isin(names, unique[::4])
    fit = torch.from_numpy(np.flatnonzero(~held))
    before = Numbers()
    after = fitted(tuple(each[fit] for each in places), judged[fit], kinds[~held])
    for title, numbers in (("before", before), ("fitted", after)):
        with torch.no_grad():
            errors = (numbers(*places).log() - judged.log()).numpy()
        for part, chosen in (("fitted pictures", ~held), ("held-out pictures", held)):
            ratios = {
                kind: errors[chosen & (kinds == kind)].tolist()
                for kind in np.unique(kinds)
                if (chosen & (kinds == kind)).any()
            }
            print_ratios(f"{title}, {part}", ratios | {"all": errors[chosen].tolist()})
    np.set_printoptions(precision=4, suppress=True)
    for name, log in after.logs.items():
        value = log.detach().exp().numpy()
        print(f"\n{name}\n{np.clip(value, *CAPS) if name == 'most_masking' else value}")


if __name__ == "__main__":
    main()
