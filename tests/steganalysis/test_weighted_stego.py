"""The rate that was embedded comes back, within the uncertainty that is stated."""

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.analysis.steganalysis.weighted_stego import MIN_SIDE, embedding_rates
from tests.hashes.pictures import sample_pictures


def cover(height: int = 400, width: int = 500) -> np.ndarray:
    """Return smooth fields with grain, as a camera would see them."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width] / 60
    fields = np.stack([120 + 80 * np.sin(x + k) * np.cos(y - k) for k in range(3)], -1)
    return np.clip(fields + random.normal(0, 2, fields.shape), 0, 255).astype(np.uint8)


def embedded(pixels: np.ndarray, rate: float, channel: int | None = None) -> np.ndarray:
    """Return `pixels` with a share `rate` of the lowest bits replaced by random ones."""
    random = np.random.default_rng(1)
    chosen = random.random(pixels.shape) < rate
    if channel is not None:
        chosen &= np.arange(3) == channel
    bits = random.integers(0, 2, pixels.shape, dtype=np.uint8)
    return np.where(chosen, pixels & 0xFE | bits, pixels)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.25, 0.5, 1.0])
def test_estimated_rate_is_within_its_uncertainty(rate: float) -> None:
    rates = embedding_rates(embedded(cover(), rate))
    assert rates is not None
    for estimate in rates:
        assert abs(estimate.rate - rate) < 4 * estimate.uncertainty + 0.03 * rate
        assert 0 < estimate.uncertainty < 0.05
        assert estimate.stands_out == (rate > 0.2) or rate == 0.1


def test_weighted_stego_detects_a_single_channel() -> None:
    rates = embedding_rates(embedded(cover(), 0.5, channel=1))
    assert rates is not None
    assert [estimate.stands_out for estimate in rates] == [False, True, False]


def test_weighted_stego_separates_a_quarter_payload() -> None:
    paths = sample_pictures()
    if not paths:
        pytest.skip("the sample pictures are not beside the repository, in ../shared/images")
    for path in paths:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        for rate in (0.0, 0.25):
            rates = embedding_rates(embedded(pixels, rate))
            assert rates is not None
            assert any(estimate.stands_out for estimate in rates) == (rate > 0), path.name


@pytest.mark.parametrize("grey", [0, 1, 128, 255])
def test_flat_picture_has_rate_zero(grey: int) -> None:
    rates = embedding_rates(np.full((MIN_SIDE, MIN_SIDE, 3), grey, np.uint8))
    assert rates is not None
    assert [(estimate.rate, estimate.stands_out) for estimate in rates] == [(0.0, False)] * 3


def test_small_pictures_have_no_estimate() -> None:
    assert embedding_rates(cover(MIN_SIDE - 1, 500)) is None
    assert embedding_rates(cover(MIN_SIDE, MIN_SIDE)) is not None
