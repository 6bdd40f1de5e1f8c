"""The map's bound in flat and textured places."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from artscraper_runner.metrics import ssim
from artscraper_runner.perceptual_map import budget_map

BUDGET = 8 / 255


def test_flat_places_get_the_floor_and_texture_the_whole_budget(textured):
    picture = torch.from_numpy(textured.astype(np.float32) / 255).permute(2, 0, 1)[None]
    bounds = budget_map(picture, budget=BUDGET, ssim_loss=0.18)[0, 0]
    floor = (0.18 / 0.82) ** 0.5 * 0.03  # zero variance leaves SSIM's constant
    assert torch.allclose(bounds[8:40, 8:60], torch.tensor(floor), atol=1e-3)
    assert bounds[60:, 80:].median() > 2 * floor
    assert bounds.max() == torch.tensor(BUDGET)


def test_the_flat_side_of_an_edge_is_spared():
    picture = torch.zeros(1, 3, 32, 32)
    picture[..., 16:] = 1.0
    bounds = budget_map(picture, budget=BUDGET, ssim_loss=0.18)
    assert bounds.max() < 0.5 * BUDGET


def test_a_grey_change_at_the_bound_costs_a_flat_window_the_share_asked_for():
    rng = np.random.default_rng(0)
    flat = np.full((96, 96, 3), 128, np.uint8)
    picture = torch.from_numpy(flat.astype(np.float32) / 255).permute(2, 0, 1)[None]
    bounds = budget_map(picture, budget=1.0, ssim_loss=0.3)[0, 0].numpy() * 255
    signs = rng.choice([-1, 1], (96, 96))
    changed = np.rint(flat + (signs * bounds)[..., None]).astype(np.uint8)
    assert ssim(flat, changed) == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (5, 5)])
def test_every_size_has_a_finite_map(size):
    bounds = budget_map(torch.rand(1, 3, *size), budget=BUDGET, ssim_loss=0.18)
    assert bounds.shape == (1, 1, *size)
    assert bounds.isfinite().all()
    assert (bounds > 0).all()
