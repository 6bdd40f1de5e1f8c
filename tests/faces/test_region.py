"""The part of a picture around a face begins where JPEG's blocks do, and lies in the picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from artscraper_runner.faces.geometry import Alignment, chip
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


@pytest.mark.parametrize("side", [400.0, 1000.0])
def test_a_large_face_is_as_sharp_as_dlib_sees_it(side):
    """Grain found in the small view and laid onto the picture: how much of it dlib would see."""
    alignment = Alignment((side * 0.7, side * 0.7), side, 0.0)
    region = FaceRegion.around(alignment, (int(1.4 * side), int(1.4 * side)))
    edge = region.soft_edge()
    grain = torch.randn(edge.shape, generator=torch.Generator().manual_seed(0)) * edge
    laid_on = np.zeros((int(1.4 * side), int(1.4 * side)), np.float32)
    place = region.cut(laid_on)
    size = place.shape[::-1]
    place[:] = Image.fromarray(grain[0, 0].numpy()).resize(size, Image.Resampling.BICUBIC)
    in_picture = chip(torch.from_numpy(laid_on)[None, None], alignment).std().item()
    assert chip(region.as_halved(grain), region.alignment).std() == pytest.approx(
        in_picture, rel=0.15
    )
    assert chip(grain, region.alignment).std() > 1.3 * in_picture


def test_a_small_face_is_seen_as_it_is():
    region = FaceRegion.around(Alignment((100.0, 100.0), 150.0, 0.0), (200, 200))
    seen = torch.rand(1, 3, 60, 60, generator=torch.Generator().manual_seed(0))
    assert region.as_halved(seen) is seen
