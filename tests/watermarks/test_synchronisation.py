"""Tiles are found where a known change has put them."""

import numpy as np
import pytest

from artscraper_runner.watermarks import folding
from artscraper_runner.watermarks.carriers import TILE_PX, layout, tile_of
from artscraper_runner.watermarks.folding import Floats
from artscraper_runner.watermarks.synchronisation import find_grids, find_positions, straightened


def tiles(height: int, width: int) -> Floats:
    tile = tile_of(np.ones(layout().index.size, np.float32))
    return np.tile(tile, (height // TILE_PX + 1, width // TILE_PX + 1))[:height, :width]


def spectrum_of(luma: Floats) -> folding.Complexes:
    return folding.whitened(folding.wave_spectrum(folding.split(luma)), 60)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_every_orientation_and_shift_is_found(turns: int, mirrored: bool) -> None:
    luma = np.roll(tiles(512, 512), (17, 90), axis=(0, 1))
    luma = np.rot90(luma[:, ::-1] if mirrored else luma, turns)
    best = find_positions(spectrum_of(np.ascontiguousarray(luma)), least_score=20)[0]
    values = folding.wave_values(best.spectrum)
    assert (values > 0).mean() > 0.99


def test_noise_has_no_shift() -> None:
    noise = np.random.default_rng(0).normal(0, 20, (512, 512)).astype(np.float32)
    assert not find_positions(spectrum_of(noise), least_score=6)


@pytest.mark.parametrize("scale", [0.85, 1.11, 1.6])
def test_tile_size_is_estimated_and_undone(scale: float) -> None:
    stretch = np.array([[1 / scale, 0], [0, 1 / scale]])
    large, _ = straightened(tiles(900, 900), stretch)
    luma = np.ascontiguousarray(large[:512, :512])
    evened = folding.evened(folding.split(luma))
    grid = next(find_grids(evened, least_score=7, strong_score=7, most=3))
    assert np.allclose(grid.matrix, np.eye(2) * scale, atol=0.004)
    upright, inside = straightened(luma, grid.matrix)
    assert upright.shape == inside.shape
    assert find_positions(spectrum_of(upright), least_score=15)


def test_noise_has_no_grid() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (512, 512)).astype(np.float32)
    assert not list(find_grids(noise, least_score=7, strong_score=8, most=3))
