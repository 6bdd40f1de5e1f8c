"""What attacks climb, against values computed by hand on latents that are means of colours."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from artscraper_runner.attacks.presets import AttackPreset, ObjectiveWeights, attack_preset
from artscraper_runner.latent.objectives import LatentObjective

PLAIN: AttackPreset = replace(
    attack_preset("photoguard", "published"), weights=ObjectiveWeights(away=1.0)
)
ORIGINAL, TARGET = 0.2, 0.6


def means(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.mean((2, 3), keepdim=True)


def flat(value: float) -> torch.Tensor:
    return torch.full((1, 3, 32, 32), value)


def score(
    value: float | torch.Tensor,
    *,
    original: float = ORIGINAL,
    target: float = TARGET,
    preset: AttackPreset = PLAIN,
    iteration: int = 0,
    encode=means,
    **weights: float,
) -> torch.Tensor:
    objective = LatentObjective(
        encode,
        reference=encode,
        original=flat(original),
        target=flat(target),
        preset=replace(preset, weights=ObjectiveWeights(**(weights or {"away": 1.0}))),
    )
    return objective(flat(value) if isinstance(value, float) else value, iteration)


def test_away_is_the_squared_relative_displacement():
    assert score(0.3).item() == pytest.approx(0.25, rel=1e-4)
    assert score(0.1).item() == pytest.approx(0.25, rel=1e-4)
    assert score(0.3, away=2.0).item() == pytest.approx(0.5, rel=1e-4)


def test_towards_is_what_is_left_of_the_way_as_published():
    assert score(ORIGINAL, towards=1.0).item() == pytest.approx(-1.0, rel=1e-4)
    assert score(0.4, towards=1.0).item() == pytest.approx(-0.25, rel=1e-4)
    assert score(TARGET, towards=1.0).item() == pytest.approx(0.0, abs=1e-6)
    assert score(0.7, towards=1.0).item() == pytest.approx(-1 / 16, rel=1e-4)


def test_along_is_the_share_of_the_way_and_rewards_going_on():
    assert score(0.4, along=1.0).item() == pytest.approx(0.5, rel=1e-4)
    assert score(0.8, along=1.0).item() == pytest.approx(1.5, rel=1e-4)
    assert score(0.1, along=1.0).item() == pytest.approx(-0.25, rel=1e-4)


def test_terms_and_sizes_add_up():
    both = score(0.3, away=1.0, along=2.0)
    assert both.item() == pytest.approx(0.25 + 2 * 0.25, rel=1e-4)
    two = score(0.3, preset=replace(PLAIN, scales=(1.0, 0.5), scale_weights=(1.0, 0.4)))
    assert two.item() == pytest.approx(1.4 * 0.25, rel=1e-4)


def test_the_half_size_sees_what_the_full_size_does_not():
    """A change that alternates from pixel to pixel is gone at half the size."""
    stripes = flat(0.5)
    stripes[..., ::2] += 0.1
    stripes[..., 1::2] -= 0.1

    def contrast(pictures: torch.Tensor) -> torch.Tensor:
        return pictures.flatten(1)

    whole = score(stripes, original=0.5, encode=contrast)
    half = score(stripes, original=0.5, encode=contrast, preset=replace(PLAIN, scales=(0.5,)))
    assert whole.item() == pytest.approx(0.04, rel=1e-3)
    assert half.item() == pytest.approx(0.0, abs=1e-6)


def test_the_gradient_points_where_the_score_rises():
    given = flat(0.3).requires_grad_(True)
    score(given, away=1.0, along=0.5).backward()
    # d/dx of (3 (x - 0.2)^2 / (3 0.2^2) + 0.5 (x - 0.2) / 0.4), a pixel's share of the mean
    expected = (2 * 0.1 / 0.04 + 0.5 / 0.4) / given.numel()
    assert torch.allclose(given.grad, torch.tensor(expected), rtol=1e-3)


@pytest.mark.parametrize("weights", [{"away": 1.0}, {"towards": 1.0}, {"along": 1.0}])
def test_a_latent_without_length_gives_no_nan(weights):
    assert score(0.0, original=0.0, target=0.0, **weights).isfinite()
