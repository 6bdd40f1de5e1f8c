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


def test_scores_are_of_the_correlation_with_the_pilots() -> None:
    random, waves = np.random.default_rng(1), layout()
    noise = random.normal(0, 1, (2, TILE_PX, TILE_PX)).astype(np.float32)
    spectrum = (noise[0] + 1j * noise[1]).astype(np.complex64)
    pilots = np.zeros(TILE_PX * TILE_PX, np.complex64)
    pilots[waves.index[waves.is_pilot]] = waves.phase[waves.is_pilot].conj()
    correlation = np.fft.ifft2(spectrum * pilots.reshape(TILE_PX, TILE_PX)).real
    score = (correlation.max() - correlation.mean()) / correlation.std()
    scores = [position.score for position in find_positions(spectrum, least_score=0)]
    assert len(scores) == 8
    assert min(abs(other - score) for other in scores) < 1e-4


@pytest.mark.parametrize("shift", [0, 20, 84, 127])
def test_grid_is_found_at_shifts_in_both_halves_of_a_tile(shift: int) -> None:
    evened = folding.evened(folding.split(np.roll(tiles(512, 512), (7, shift), axis=(0, 1))))
    grid = next(find_grids(evened, least_score=7, strong_score=7, most=3))
    assert np.allclose(grid.matrix, np.eye(2), atol=0.004)
    assert grid.score > 15


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
