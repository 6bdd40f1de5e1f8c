"""Objectives against values computed by hand on latents that are means of colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from artscraper_runner.attacks.presets import PRESETS, AttackPreset, ObjectiveWeights
from artscraper_runner.latent.objectives import LatentObjective, latent_at
from artscraper_runner.models.protocol import QuadraticObjective

PLAIN: AttackPreset = replace(
    PRESETS["photoguard"]["published"], weights=ObjectiveWeights(away=1.0)
)
ORIGINAL, TARGET = 0.2, 0.6


class Means:
    """An encoder whose latent is the mean of each channel."""

    name, stride = "means", 1

    def latents(self, pictures):
        return pictures.mean((2, 3))

    def value_and_gradient(self, picture, objective: QuadraticObjective):
        latent = self.latents(picture)
        slope = 2 * objective.spread * (latent - objective.reference) + objective.pull
        gradient = np.ones_like(picture) * slope[..., None, None] / picture[0, 0].size
        return objective.value(latent), gradient.astype(np.float32)


class Contrast(Means):
    """An encoder whose latent is the picture itself."""

    def latents(self, pictures):
        return pictures.reshape(len(pictures), -1)

    def value_and_gradient(self, picture, objective):
        return objective.value(self.latents(picture)), np.zeros_like(picture)


def flat(value: float) -> np.ndarray:
    return np.full((1, 3, 32, 32), value, np.float32)


def climbed(
    value,
    *,
    original: float = ORIGINAL,
    target: float = TARGET,
    preset: AttackPreset = PLAIN,
    encoder=None,
    **weights: float,
) -> tuple[float, np.ndarray]:
    """Return the objective's value and gradient."""
    encoder = encoder or Means()
    objective = LatentObjective(
        encoder,
        latents=encoder.latents,
        original=flat(original),
        target=latent_at(encoder.latents, flat(target)),
        preset=replace(preset, weights=ObjectiveWeights(**(weights or {"away": 1.0}))),
    )
    return objective(flat(value) if isinstance(value, float) else value, 0)


def score(value, **options) -> float:
    return climbed(value, **options)[0]


def test_away_is_squared_relative_displacement():
    assert score(0.3) == pytest.approx(0.25, rel=1e-4)
    assert score(0.1) == pytest.approx(0.25, rel=1e-4)
    assert score(0.3, away=2.0) == pytest.approx(0.5, rel=1e-4)


def test_towards_is_the_published_remaining_distance():
    assert score(ORIGINAL, towards=1.0) == pytest.approx(-1.0, rel=1e-4)
    assert score(0.4, towards=1.0) == pytest.approx(-0.25, rel=1e-4)
    assert score(TARGET, towards=1.0) == pytest.approx(0.0, abs=1e-6)
    assert score(0.7, towards=1.0) == pytest.approx(-1 / 16, rel=1e-4)


def test_along_is_relative_progress_and_unbounded():
    assert score(0.4, along=1.0) == pytest.approx(0.5, rel=1e-4)
    assert score(0.8, along=1.0) == pytest.approx(1.5, rel=1e-4)
    assert score(0.1, along=1.0) == pytest.approx(-0.25, rel=1e-4)


def test_terms_and_sizes_are_summed():
    both = score(0.3, away=1.0, along=2.0)
    assert both == pytest.approx(0.25 + 2 * 0.25, rel=1e-4)
    two = score(0.3, preset=replace(PLAIN, scales=(1.0, 0.5), scale_weights=(1.0, 0.4)))
    assert two == pytest.approx(1.4 * 0.25, rel=1e-4)


def test_half_size_sees_what_full_size_does_not():
    """A change that alternates from pixel to pixel is gone at half the size."""
    stripes = flat(0.5)
    stripes[..., ::2] += 0.1
    stripes[..., 1::2] -= 0.1

    whole = score(stripes, original=0.5, encoder=Contrast())
    half = score(stripes, original=0.5, encoder=Contrast(), preset=replace(PLAIN, scales=(0.5,)))
    assert whole == pytest.approx(0.04, rel=1e-3)
    assert half == pytest.approx(0.0, abs=1e-6)


def test_gradient_raises_the_score():
    _, gradient = climbed(0.3, away=1.0, along=0.5)
    # d/dx of (3 (x - 0.2)^2 / (3 0.2^2) + 0.5 (x - 0.2) / 0.4), a pixel's share of the mean
    expected = (2 * 0.1 / 0.04 + 0.5 / 0.4) / gradient.size
    assert np.allclose(gradient, expected, rtol=1e-3)


@pytest.mark.parametrize("weights", [{"away": 1.0, "along": 0.3}, {"towards": 1.0}])
def test_gradient_agrees_with_finite_differences(weights):
    preset = replace(PLAIN, scales=(1.0, 0.5), scale_weights=(1.0, 0.4))
    _, gradient = climbed(0.3, preset=preset, **weights)
    rise = score(0.301, preset=preset, **weights) - score(0.299, preset=preset, **weights)
    assert rise / 0.002 == pytest.approx(float(gradient.sum()), rel=1e-2)


@pytest.mark.parametrize("weights", [{"away": 1.0}, {"towards": 1.0}, {"along": 1.0}])
def test_zero_latent_gives_no_nan(weights):
    assert np.isfinite(score(0.0, original=0.0, target=0.0, **weights))
