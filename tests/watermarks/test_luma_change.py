"""A change found at the reference size is added to larger pictures in whole levels."""

import numpy as np
import pytest

from artscraper_runner.watermarks.luma_change import add_luma

from .pictures import Pixels


def added(change_level: float, *, scale: int) -> Pixels:
    """Return what a uniform change adds to a grey picture of `scale` times its size."""
    change = np.full((64, 48), change_level, np.float32)
    grey = np.full((64 * scale, 48 * scale, 3), 100, np.uint8)
    return add_luma(grey, change).astype(np.int16) - grey


@pytest.mark.parametrize("level", [-0.7, 0.3, 0.5])
def test_enlarged_change_keeps_fractions_of_a_level_on_average(level: float) -> None:
    change = added(level, scale=4)
    assert change.mean() == pytest.approx(level, abs=0.02)
    assert set(np.unique(change)) == {np.floor(level), np.floor(level) + 1}
    assert (change == change[:, :, :1]).all(), "all channels change alike"


def test_change_at_its_own_size_is_rounded() -> None:
    assert not added(0.3, scale=1).any()
    assert (added(0.7, scale=1) == 1).all()
