"""The tile's waves are fixed, seamless and fairly dealt."""

import numpy as np
import pytest

from artscraper_runner.watermarks.carriers import TILE_PX, bit_of_wave, layout, signs_of, tile_of
from artscraper_runner.watermarks.coding import PAYLOAD_BYTES, frame_bits
from artscraper_runner.watermarks.convolutional import code_length

LAYOUT_START = [515, 15875, 5, 388, 640]
DEAL_START = [151, 76, 226, 247, 95]
PHASE_START = [-0.770657, 0.832676, 2.978018]
CODE_LENGTHS = [code_length(frame_bits(size)) for size in PAYLOAD_BYTES]


def test_layout_is_stable() -> None:
    """Published marks depend on it: these numbers must not change."""
    waves = layout()
    assert (waves.index.size, int(waves.is_pilot.sum())) == (1376, 229)
    assert waves.index[:5].tolist() == LAYOUT_START
    assert bit_of_wave(CODE_LENGTHS[0])[:5].tolist() == DEAL_START
    assert np.allclose(np.angle(waves.phase[:3]), PHASE_START, atol=1e-5)


def test_tile_is_the_sum_of_its_waves() -> None:
    waves = layout()
    amplitudes = np.zeros(waves.index.size, np.float32)
    amplitudes[7] = 2
    at = np.arange(TILE_PX) / TILE_PX
    turns = waves.rows[7] * at[:, None] + waves.columns[7] * at[None, :]
    expected = 2 * np.cos(2 * np.pi * turns + np.angle(waves.phase[7]))
    assert np.allclose(tile_of(amplitudes), expected, atol=1e-4)


@pytest.mark.parametrize("length", CODE_LENGTHS)
def test_every_code_bit_has_waves_of_low_and_high_frequency(length: int) -> None:
    dealt = bit_of_wave(length)
    assert np.array_equal(np.unique(dealt[:length]), np.arange(length))
    assert np.bincount(dealt).min() >= dealt.size // length


def test_pilots_do_not_depend_on_the_payload() -> None:
    length = CODE_LENGTHS[0]
    ones = signs_of(np.ones(length, np.uint8))
    pilots = layout().is_pilot
    assert (ones[pilots] == 1).all()
    assert (ones[~pilots] == -1).all()
