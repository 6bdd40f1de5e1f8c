"""Steps that raise an objective most for what they show."""

from __future__ import annotations

import numpy as np
import pytest

from artscraper_runner.attacks.ascent import VisibleAscent
from artscraper_runner.imaging.opponent import opponent_colours, opponent_derivative
from artscraper_runner.imaging.visibility import VisibilityModel

SIDE = 64


def picture() -> np.ndarray:
    """Return a gradient with grain in its lower half, float32 (3, SIDE, SIDE)."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0.2, 0.8, SIDE, dtype=np.float32)
    planes = np.broadcast_to(ramp, (3, SIDE, SIDE)).copy()
    planes[:, SIDE // 2 :] += 0.05 * rng.standard_normal((3, SIDE // 2, SIDE)).astype(np.float32)
    return planes.clip(0, 1)


def gradient(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((3, SIDE, SIDE)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> VisibilityModel:
    return VisibilityModel(picture())


def test_step_raises_more_per_visibility_than_signs(model: VisibilityModel) -> None:
    slope = gradient()
    step = VisibleAscent(model, picture()).step(slope, softness=0.0)
    signs = np.sign(slope)

    def gain_per_visibility(change: np.ndarray) -> float:
        small = change * np.float32(0.01 / np.abs(change).max())
        return float((slope * small).sum()) / float(model.places(picture() + small).max())

    assert gain_per_visibility(step) > 1.3 * gain_per_visibility(signs)


def test_step_is_equally_visible_everywhere(model: VisibilityModel) -> None:
    step = VisibleAscent(model, picture()).step(gradient(), softness=0.0)
    places = model.places(picture() + 0.5 * step)[2:-2, 2:-2]
    assert 0.15 < places.min() < places.max() < 2.0


def test_softness_spends_less_where_the_gradient_is_small(model: VisibilityModel) -> None:
    slope = gradient()
    slope[:, :, : SIDE // 2] *= 0.1
    steps = [VisibleAscent(model, picture()).step(slope, softness) for softness in (0.0, 2.0)]
    left, right = (
        [float(np.abs(step[..., part]).mean()) for step in steps]
        for part in (slice(0, SIDE // 2 - 8), slice(SIDE // 2 + 8, None))
    )
    assert left[1] < 0.3 * left[0]
    assert right[1] > 0.5 * right[0]


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_step_is_finite_on_flat_pictures_and_without_a_gradient(value: float) -> None:
    flat = np.full((3, 16, 16), value, np.float32)
    ascent = VisibleAscent(VisibilityModel(flat), flat)
    assert np.isfinite(ascent.step(gradient()[:, :16, :16], 4.0)).all()
    assert not ascent.step(np.zeros_like(flat), 4.0).any()


def test_derivative_agrees_with_finite_differences() -> None:
    original = picture()
    rng = np.random.default_rng(2)
    change = np.float32(0.004) * rng.standard_normal(original.shape).astype(np.float32)
    derivative = opponent_derivative(original)
    moved = opponent_colours(original + change) - opponent_colours(original - change)
    assert np.abs(derivative.inverse(moved / 2) - change).max() < 0.05 * np.abs(change).max()


def test_adjoint_is_that_of_the_inverse() -> None:
    derivative = opponent_derivative(picture())
    first, second = gradient(3), gradient(4)
    left = float((derivative.inverse(first) * second).sum(dtype=np.float64))
    right = float((first * derivative.inverse_adjoint(second)).sum(dtype=np.float64))
    assert left == pytest.approx(right, rel=1e-3)
