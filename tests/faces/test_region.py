"""The part of a picture around a face begins where JPEG's blocks do, and lies in the picture."""

from __future__ import annotations

import numpy as np
import pytest

from artscraper_runner.faces.alignment import Alignment
from artscraper_runner.faces.region import FaceRegion


@pytest.mark.parametrize("side", [60.0, 250.0, 700.0])
def test_it_begins_on_jpegs_grid_and_holds_the_square(side):
    alignment = Alignment((900.0, 850.0), side, 0.3)
    region = FaceRegion.around(alignment, (1700, 1800))
    assert region.rows.start % 16 == region.columns.start % 16 == 0
    low, high = alignment.corners().min(0), alignment.corners().max(0)
    assert region.columns.start <= low[0] and high[0] <= region.columns.stop
    assert region.rows.start <= low[1] and high[1] <= region.rows.stop
    seen = region.seen(np.zeros((1700, 1800, 3), np.uint8))
    assert seen.shape[2:] == region.soft_edge().shape[2:]


def test_a_square_outside_the_picture_has_none():
    assert FaceRegion.around(Alignment((-400.0, -400.0), 90.0, 0.0), (100, 100)) is None
