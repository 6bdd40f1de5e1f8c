"""The drawn targets: shape, range, contrast, and that they differ."""

from __future__ import annotations

import numpy as np
import pytest

from artscraper_runner.latent.targets import concept, grey, periodic_pattern
from artscraper_runner.options import CONCEPT_NAMES


@pytest.mark.parametrize("size", [(1, 1), (20, 300), (64, 48)])
@pytest.mark.parametrize("name", [None, *CONCEPT_NAMES])
def test_targets_have_requested_size_and_range(name, size):
    for picture in (grey(*size), periodic_pattern(*size), concept(name or "forest", *size)):
        assert picture.shape == (*size, 3)
        assert picture.dtype == np.float32
        assert picture.min() >= 0
        assert picture.max() <= 1


def test_pattern_is_periodic_with_full_contrast():
    pattern = periodic_pattern(96, 96)
    assert set(np.unique(pattern)) == {0.0, 1.0}
    assert np.array_equal(pattern[:-32], pattern[32:])
    assert np.array_equal(pattern[:, :-32], pattern[:, 32:])


def test_concepts_are_distinct_pictures():
    pictures = [concept(name, 64, 64) for name in CONCEPT_NAMES]
    assert len(pictures) >= 3
    for index, picture in enumerate(pictures):
        assert picture.std() > 0.05
        for other in pictures[index + 1 :]:
            assert np.abs(picture - other).mean() > 0.1
