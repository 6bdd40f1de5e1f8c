"""The map's bound in flat and textured places."""

from __future__ import annotations

import numpy as np
import pytest

from artscraper_runner.attacks.perceptual import budget_map

BUDGET, FLOOR = 8 / 255, 3 / 255


def bounds_of(pixels, *, floor=FLOOR):
    picture = (pixels.astype(np.float32) / 255).transpose(2, 0, 1)[None]
    return budget_map(picture, budget=BUDGET, floor=floor, slope=3.5)[0, 0]


def test_flat_areas_get_the_floor_and_texture_the_whole_budget(textured):
    bounds = bounds_of(textured)
    assert np.allclose(bounds[8:40, 8:60], FLOOR, atol=1e-3)
    assert np.median(bounds[60:, 80:]) > 2 * FLOOR
    assert bounds.max() == np.float32(BUDGET)


def test_flat_side_of_an_edge_is_spared():
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, 16:] = 255
    assert bounds_of(pixels).max() == pytest.approx(FLOOR, rel=1e-3)


def test_smooth_shading_is_not_texture():
    ramp = np.linspace(60, 250, 48)[None, :, None]  # 4 of 255 a pixel
    bounds = bounds_of(np.broadcast_to(ramp, (48, 48, 3)).astype(np.uint8))
    assert bounds[12:-12, 12:-12].max() < 1.1 * FLOOR


def test_fine_cracks_do_not_mask_wider_changes():
    rows, columns = np.mgrid[0:96, 0:96]
    bounds = [
        bounds_of(np.repeat(150.0 + 10 * ((rows // cell + columns // cell) % 2)[..., None], 3, 2))
        for cell in (1, 6)
    ]
    assert bounds[0][20:-20, 20:-20].max() < 1.2 * FLOOR
    assert bounds[1][20:-20, 20:-20].min() > 2 * FLOOR


def test_dark_areas_get_less_than_light_ones():
    flat = np.ones((16, 16, 3), np.uint8)
    assert bounds_of(flat * 0).mean() == pytest.approx(0.6 * FLOOR, rel=0.01)
    assert bounds_of(flat * 30).mean() < bounds_of(flat * 60).mean() < FLOOR
    assert bounds_of(flat * 200).mean() == pytest.approx(FLOOR, rel=0.01)


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (5, 5)])
def test_every_size_has_a_finite_map(size):
    bounds = bounds_of(np.random.default_rng(0).integers(0, 256, (*size, 3)))
    assert bounds.shape == size
    assert np.isfinite(bounds).all()
    assert (bounds > 0).all()
