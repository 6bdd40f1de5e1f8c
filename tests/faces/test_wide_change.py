"""The wide part of a change is what a Gaussian leaves, and it can be taken off."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from artscraper_runner.faces.wide_change import blurred, narrowed, to_luma_chroma, to_rgb, widest

BLUR, BOUND = 3.0, 0.5


def test_the_blur_is_the_usual_gaussian():
    plane = np.random.default_rng(0).standard_normal((40, 50))
    found = blurred(torch.from_numpy(plane)[None, None], BLUR)[0, 0].numpy()
    expected = ndimage.gaussian_filter(plane, BLUR, mode="nearest", truncate=3)
    assert np.allclose(found, expected, atol=1e-9)


def test_luma_and_chroma_are_undone():
    change = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(0)) - 0.5
    assert torch.allclose(to_rgb(to_luma_chroma(change)), change, atol=1e-6)
    assert torch.allclose(to_luma_chroma(torch.ones(1, 3, 2, 2))[:, 1:], torch.zeros(1), atol=1e-6)


def test_a_wide_change_is_taken_off_and_a_fine_one_is_not():
    rows, columns = np.mgrid[0:64, 0:64]
    wide = torch.from_numpy(2 * np.sin(rows / 10)).float().expand(1, 3, 64, 64)
    fine = torch.from_numpy(2.0 * ((rows + columns) % 2) - 1).float().expand(1, 3, 64, 64)
    bounds = torch.full((1, 3, 1, 1), BOUND)
    assert blurred(narrowed(wide, bounds, BLUR), BLUR).abs().max() < 0.6 * wide.max()
    assert torch.allclose(narrowed(fine, bounds, BLUR), fine)


def test_the_widest_is_of_luma_and_chroma_alike():
    grey, red = torch.full((1, 3, 20, 20), 0.1), torch.zeros(1, 3, 20, 20)
    red[:, 0] = 0.1
    assert abs(widest(grey, BLUR) - 0.1) < 1e-6
    assert abs(widest(red, BLUR) - 0.05) < 1e-6
