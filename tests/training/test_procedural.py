"""Drawn pictures."""

from __future__ import annotations

import numpy as np
import pytest

from training import procedural


def test_pictures_differ_and_follow_the_seed() -> None:
    rng = np.random.default_rng(3)
    first, second = (np.asarray(procedural.picture(rng, size=96)) for _ in range(2))
    again = np.asarray(procedural.picture(np.random.default_rng(3), size=96))
    assert first.shape == second.shape == (96, 96, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("background", sorted({f.__name__ for f in procedural.BACKGROUNDS}))
def test_backgrounds_have_requested_size(background: str) -> None:
    drawn = getattr(procedural, background)(np.random.default_rng(0), 65)
    assert (drawn.size, drawn.mode) == ((65, 65), "RGB")


@pytest.mark.parametrize("layer", sorted({f.__name__ for f in procedural.LAYERS}))
def test_every_layer_changes_the_picture(layer: str) -> None:
    canvas = procedural.flat(np.random.default_rng(0), 200)
    before = np.asarray(canvas).copy()
    getattr(procedural, layer)(np.random.default_rng(1), canvas)
    assert (np.asarray(canvas) != before).any()


def test_noise_falls_with_frequency() -> None:
    pixels = np.asarray(procedural.power_law_noise(np.random.default_rng(0), 128), dtype=float)
    power = np.abs(np.fft.fft2(pixels[..., 0] - pixels[..., 0].mean())) ** 2
    assert power[1:4, 1:4].mean() > 10 * power[40:60, 40:60].mean()
