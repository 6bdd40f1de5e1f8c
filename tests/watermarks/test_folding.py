"""Pictures come to one size, and waves are measured where they are."""

import numpy as np
import pytest

from artscraper_runner.watermarks.carriers import TILE_PX, layout, tile_of
from artscraper_runner.watermarks.folding import (
    REFERENCE_PIXELS,
    SPLIT,
    fine_luma,
    highest_kept,
    reference_luma,
    reference_size,
    split,
    wave_spectrum,
    wave_values,
    whitened,
)

from .pictures import painting


@pytest.mark.parametrize(
    ("size", "expected"),
    [((512, 768), (512, 768)), ((2000, 3000), (512, 768)), ((128, 192), (512, 768))],
)
def test_short_side_becomes_512(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert reference_size(*size) == expected


def test_long_pictures_are_bounded() -> None:
    height, width = reference_size(300, 20_000)
    assert height * width == pytest.approx(REFERENCE_PIXELS, rel=0.02)


def test_luma_is_at_reference_size() -> None:
    grey = np.full((300, 400, 3), (255, 0, 0), np.uint8)
    luma = reference_luma(grey)
    assert luma.shape == (512, 683)
    assert np.allclose(luma, 76, atol=1)
    fine, scale = fine_luma(grey)
    assert fine.shape == (300, 400)
    assert scale == pytest.approx(300 / 512)


def test_small_picture_keeps_only_low_waves() -> None:
    assert highest_kept(128, 128) == pytest.approx(0.96 * 16)
    assert highest_kept(512, 512) == highest_kept(4000, 4000) == pytest.approx(0.96 * 64)


def test_bands_share_the_waves() -> None:
    waves = layout()
    for index, is_low in ((3, True), (-3, False)):
        amplitudes = np.zeros(waves.index.size, np.float32)
        amplitudes[index] = 10
        low, high = split(np.tile(tile_of(amplitudes), (4, 4)) + 128)
        assert (waves.radius[index] <= SPLIT) == is_low
        assert (low.values.std() > 20 * high.values.std()) == is_low


def test_wave_is_measured_at_its_frequency() -> None:
    waves = layout()
    amplitudes = np.zeros(waves.index.size, np.float32)
    amplitudes[50], amplitudes[900] = 3, -3
    bands = split(np.tile(tile_of(amplitudes), (4, 6)) + 128)
    values = wave_values(wave_spectrum(bands))
    assert values[50] > 0.2
    assert values[900] < -0.2
    others = np.delete(values, [50, 900])
    assert np.abs(others).max() < 0.05


def test_whitened_rings_have_unit_power_up_to_the_limit() -> None:
    spectrum = wave_spectrum(split(reference_luma(painting(512, 512))))
    white = whitened(spectrum, 20)
    frequency = np.fft.fftfreq(TILE_PX, 1 / TILE_PX)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    ring = np.rint(radius) == 10
    assert np.square(np.abs(white[ring])).mean() == pytest.approx(1, rel=0.3)
    assert not white[radius > 20].any()
