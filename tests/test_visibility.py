"""The model of what a change shows, and the scaling back to its bound."""

import numpy as np
import pytest

from artscraper_runner.imaging.visibility import VisibilityModel, VisibleChange, to_planes


def visibility(original: np.ndarray, changed: np.ndarray) -> float:
    return VisibleChange.of(original).worst(changed)[0]


def within_visibility(
    original: np.ndarray, before: np.ndarray, changed: np.ndarray, *, bound: float
) -> np.ndarray:
    return VisibleChange.of(original).within(bound, before=before, changed=changed)


def _half_textured(side: int = 96) -> np.ndarray:
    """Flat on the left, textured on the right, uint8."""
    rng = np.random.default_rng(4)
    pixels = np.full((side, side, 3), 128.0)
    pixels[:, side // 2 :] += rng.normal(0, 30, (side, side // 2, 1))
    return pixels.clip(0, 255).astype(np.uint8)


def _signs(pixels: np.ndarray, amplitude: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    return np.clip(pixels + amplitude * rng.choice([-1, 1], pixels.shape), 0, 255).astype(np.uint8)


def test_visibility_of_equal_pictures_is_zero() -> None:
    pixels = _half_textured()
    assert visibility(pixels, pixels) == 0


def test_visibility_grows_with_the_change() -> None:
    pixels = _half_textured()
    values = [visibility(pixels, _signs(pixels, amplitude)) for amplitude in (1, 2, 4, 8)]
    assert values == sorted(values)
    assert values[0] < 1 < values[3]


def test_texture_masks_changes() -> None:
    pixels = _half_textured()
    places = VisibilityModel(to_planes(pixels)).places(to_planes(_signs(pixels, 4)))
    columns = places.shape[1]
    assert places[:, : columns // 2 - 2].mean() > 1.4 * places[:, columns // 2 + 2 :].mean()


def test_visibility_is_of_the_worst_area() -> None:
    pixels = np.full((96, 96, 3), 128, np.uint8)
    spot = pixels.copy()
    spot[32:64, 32:64] = _signs(spot[32:64, 32:64], 6)
    everywhere = _signs(pixels, 6)
    assert visibility(pixels, spot) > 0.7 * visibility(pixels, everywhere)


@pytest.mark.parametrize("size", [(96, 128), (1500, 1800)])
def test_worst_place_is_where_the_change_is(size: tuple[int, int]) -> None:
    pixels = np.full((*size, 3), 128, np.uint8)
    height, width = size
    spot = pixels.copy()
    rows, columns = np.s_[height // 4 : height // 2], np.s_[3 * width // 4 : width]
    spot[rows, columns] = _signs(spot[rows, columns], 9)
    worst, x, y = VisibleChange.of(pixels).worst(spot)
    assert worst == visibility(pixels, spot) > 0.5
    assert 0.74 < x <= 1 and 0.24 < y < 0.51


def test_amplitude_of_signs_is_just_visible() -> None:
    pixels = _half_textured()
    original = to_planes(pixels)
    model = VisibilityModel(original)
    signs = np.random.default_rng(1).choice([-1, 1], original.shape)
    changed = (
        (original + model.enlarged(model.amplitude(original)) * signs).clip(0, 1).astype(np.float32)
    )
    places = model.places(changed)
    assert np.median(places) == pytest.approx(1, rel=0.25)


@pytest.mark.parametrize("bound", [0.5, 1.0, 2.0])
def test_scaling_back_keeps_the_bound(bound: float) -> None:
    pixels = _half_textured()
    kept = within_visibility(pixels, pixels, _signs(pixels, 9), bound=bound)
    assert visibility(pixels, kept) <= 1.15 * bound
    assert not np.array_equal(kept, pixels)


def test_change_within_the_bound_is_kept() -> None:
    pixels = _half_textured()
    changed = _signs(pixels, 1)
    assert np.array_equal(within_visibility(pixels, pixels, changed, bound=3.0), changed)


def test_bound_allows_no_change_beyond_an_exhausted_one() -> None:
    pixels = np.full((96, 96, 3), 128, np.uint8)
    before = pixels.copy()
    before[:, :48] = _signs(before[:, :48], 12)
    kept = within_visibility(pixels, before, _signs(before, 6), bound=1.0)
    assert np.array_equal(kept[:, :32], before[:, :32])
    assert not np.array_equal(kept[:, 64:], before[:, 64:])


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 3), (17, 33), (2001, 1600)])
def test_visibility_handles_any_size(size: tuple[int, int]) -> None:
    pixels = np.full((*size, 3), 90, np.uint8)
    changed = _signs(pixels, 10)
    assert visibility(pixels, changed) > 0
    kept = within_visibility(pixels, pixels, changed, bound=0.5)
    assert kept.shape == pixels.shape
    assert visibility(pixels, kept) < visibility(pixels, changed)


@pytest.mark.parametrize("level", [0, 255])
def test_visibility_handles_black_and_white(level: int) -> None:
    pixels = np.full((40, 40, 3), level, np.uint8)
    assert visibility(pixels, pixels) == 0
    assert visibility(pixels, _signs(pixels, 9)) > 0.5


def test_visibility_of_steps_does_not_depend_on_darkness() -> None:
    """The cube root stands for adaptation: a step of sRGB in the dark is about as visible."""
    dark, light = (np.full((64, 64, 3), level, np.uint8) for level in (30, 128))
    ratio = visibility(dark, _signs(dark, 4)) / visibility(light, _signs(light, 4))
    assert 0.3 < ratio < 3
