"""The drawings of the visibility benchmark."""

import numpy as np
import pytest

from benchmarks.drawings import DRAWINGS


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawing_has_the_size_and_is_repeatable(name: str) -> None:
    first, second = (DRAWINGS[name](96, 64) for _ in range(2))
    assert first.shape == (64, 96, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawing_is_mostly_flat(name: str) -> None:
    pixels = DRAWINGS[name](256, 256).astype(int)
    steps = np.abs(np.diff(pixels, axis=1)).max(axis=2)
    assert np.mean(steps <= 4) > 0.7
    assert steps.max() > 40
