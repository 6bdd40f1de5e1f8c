"""Sizes that attacks work at, and how their change comes back to the full size."""

from __future__ import annotations

import numpy as np
import pytest

from artscraper_runner.attacks.run_cache import RunCache
from artscraper_runner.attacks.scaling import (
    MAX_PIXELS,
    apply_perturbation,
    at_working_size,
    fine_size,
    scaled_picture,
    visible_at,
    working_size,
)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 768), (512, 768)),
        ((1, 1), (1, 1)),
        ((20, 8000), (20, 8000)),
        ((2000, 3000), (512, 768)),
        ((6000, 4000), (768, 512)),
    ],
)
def test_working_size_of_known_sizes(size, expected):
    assert working_size(*size) == expected


@pytest.mark.parametrize("size", [(600, 16000), (16000, 16), (3, 16384), (5000, 5000)])
def test_working_size_is_bounded_and_no_larger_than_the_picture(size):
    height, width = working_size(*size)
    assert height * width <= MAX_PIXELS * 1.1
    assert height <= size[0]
    assert width <= size[1]


def test_visible_part_at_full_size_follows_alpha():
    alpha = np.array([[0, 1, 255], [0, 0, 128]], np.uint8)
    assert visible_at(alpha, (2, 3)).tolist() == [[[[0, 1, 1], [0, 0, 1]]]]


@pytest.mark.parametrize("size", [(16, 32), (20, 20), (1, 1), (7, 50)])
def test_reduced_pixel_is_hidden_only_if_all_its_pixels_are(size):
    for row, column in [(0, 0), (37, 12), (63, 49), (40, 25)]:
        alpha = np.zeros((64, 50), np.uint8)
        alpha[row, column] = 1
        visible = visible_at(alpha, size)
        assert visible.shape == (1, 1, *size)
        assert visible.sum() == 1
        (place,) = np.argwhere(visible[0, 0]).tolist()
        assert abs((place[0] + 0.5) / size[0] - (row + 0.5) / 64) <= 1 / size[0]
        assert abs((place[1] + 0.5) / size[1] - (column + 0.5) / 50) <= 1 / size[1]


def test_full_size_change_is_added_exactly(textured):
    levels = np.random.default_rng(1).integers(-8, 9, textured.shape)
    change = (levels.astype(np.float32) / 255).transpose(2, 0, 1)[None]
    middle = np.clip(textured, 8, 247)
    result = apply_perturbation(middle, change, original=middle, budget=8)
    assert np.array_equal(result, middle + levels)


@pytest.mark.parametrize("side", [100, 1300])
def test_change_is_enlarged_without_seams(side):
    original = np.full((1300, side, 3), 100, np.uint8)
    down = np.linspace(-7, 7, 100, dtype=np.float32)[None, None, :, None] / 255
    result = apply_perturbation(
        original, np.broadcast_to(down, (1, 3, 100, 100)), original=original, budget=8
    )
    steps = np.diff(result[:, 0, 0].astype(int))
    assert result.min() == 93 and result.max() == 107
    assert set(steps) == {0, 1}  # a ramp: nowhere back, nowhere two levels at once
    assert (result == result[:, :1, :1]).all()


def test_full_size_change_is_exact_over_many_bands():
    levels = np.random.default_rng(4).integers(-8, 9, (1100, 20, 3))
    change = (levels.astype(np.float32) / 255).transpose(2, 0, 1)[None]
    middle = np.full(levels.shape, 90, np.uint8)
    assert np.array_equal(
        apply_perturbation(middle, change, original=middle, budget=8), middle + levels
    )


def test_enlarged_change_keeps_effect_and_budget():
    original = np.full((300, 450, 3), 100, np.uint8)
    change = np.zeros((1, 3, 100, 150), np.float32)
    change[..., 40:60, 50:90] = 6 / 255
    result = apply_perturbation(original, change, original=original, budget=8)
    seen = scaled_picture(result, (100, 150)) - scaled_picture(original, (100, 150))
    assert np.abs(result.astype(int) - 100).max() <= 8
    assert np.allclose(seen[..., 44:56, 55:85], 6 / 255, atol=1 / 255)
    assert np.abs(seen[..., :30, :]).max() == 0


def test_budget_counts_from_the_original_and_keeps_earlier_changes():
    original = np.full((8, 8, 3), 100, np.uint8)
    before = original.copy()
    before[0] = 120  # a watermark's, beyond the budget
    before[1] = 106
    change = np.full((1, 3, 8, 8), 6 / 255, np.float32)
    result = apply_perturbation(before, change, original=original, budget=8)
    assert (result[0] == 120).all()
    assert (result[1] == 108).all()
    assert (result[2:] == 106).all()


def test_black_and_white_do_not_overflow():
    for value, sign in ((0, -1), (255, 1)):
        flat = np.full((4, 4, 3), value, np.uint8)
        change = np.full((1, 3, 4, 4), sign * 8 / 255, np.float32)
        assert (apply_perturbation(flat, change, original=flat, budget=8) == value).all()


def test_zero_change_keeps_every_byte(textured):
    change = np.zeros((1, 3, 10, 10), np.float32)
    assert np.array_equal(
        apply_perturbation(textured, change, original=textured, budget=8), textured
    )


def test_scaled_picture_is_cached_per_run(textured):
    cache = RunCache()
    first = at_working_size(textured, (32, 48), cache)
    assert np.array_equal(first, scaled_picture(textured, (32, 48)))
    assert at_working_size(textured, (32, 48), cache) is first
    assert at_working_size(textured.copy(), (32, 48), cache) is not first
    assert at_working_size(textured, (16, 24), cache).shape == (1, 3, 16, 24)


@pytest.mark.parametrize("sign", [-1, 1])
def test_largest_change_does_not_overflow(sign):
    """Enlarging overshoots beside an edge: past the lowest code a step would be over 255."""
    original = np.full((90, 90, 3), 128, np.uint8)
    change = np.zeros((1, 3, 30, 30), np.float32)
    change[..., 10:20] = sign
    result = apply_perturbation(original, change, original=original, budget=8)
    assert (result[:, 33:57] == 128 + sign * 8).all()


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 512), None),
        ((600, 900), None),
        ((768, 1024), (768, 1024)),
        ((1200, 900), (1200, 900)),
        ((3000, 2000), (1536, 1024)),
        ((6000, 4000), (1536, 1024)),
    ],
)
def test_fine_size_of_known_sizes(size, expected):
    assert fine_size(*size) == expected
