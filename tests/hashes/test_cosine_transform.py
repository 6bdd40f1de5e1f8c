"""The cosine transform beside SciPy's."""

import numpy as np
import pytest
from scipy.fft import dct

from artscraper_runner.analysis.hashes.imagehash_family import cosine_transform


def _by_scipy(square: np.ndarray) -> np.ndarray:
    return dct(dct(square.astype(np.float64), axis=0), axis=1)


@pytest.mark.parametrize("side", [2, 8, 32])
def test_transforms_agree_with_scipy(side: int) -> None:
    square = np.random.default_rng(side).integers(0, 256, (side, side))
    assert cosine_transform(square) == pytest.approx(_by_scipy(square), abs=1e-9)


def test_one_colour_has_equal_rounding_noise() -> None:
    for level in range(256):
        square = np.full((32, 32), level)
        assert np.array_equal(cosine_transform(square), _by_scipy(square))
