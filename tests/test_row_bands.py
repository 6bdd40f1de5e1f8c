"""Bands: every row once, answers from the top, whichever thread was first."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.imaging import metrics
from artscraper_runner.imaging.tiles import over_bands, reduced_copy, resized


@pytest.mark.parametrize("height", [1, 32, 33, 1024, 5000])
def test_rows_are_covered_once_in_order(height: int) -> None:
    bands = over_bands(lambda rows: rows, height)
    assert [row for band in bands for row in range(band.start, band.stop)] == list(range(height))


def test_bands_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    second = threading.Event()

    def work(rows: slice) -> int:
        if rows.start == 0:
            assert second.wait(10)
        else:
            second.set()
        return rows.start

    assert over_bands(work, 1024, rows=512) == [0, 512]


def test_error_in_a_band_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)

    def work(rows: slice) -> None:
        raise MemoryError(rows.start)

    with pytest.raises(MemoryError):
        over_bands(work, 4096)


def test_metrics_do_not_depend_on_thread_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(2)
    before = rng.integers(0, 256, (1500, 90, 3), np.uint8)
    after = np.clip(before + rng.integers(-8, 9, before.shape), 0, 255).astype(np.uint8)

    def measured(cores: int) -> tuple[object, ...]:
        monkeypatch.setattr("os.cpu_count", lambda: cores)
        mask = metrics.change_mask(before, after, gain=16, max_side=256)
        figures = (metrics.linf, metrics.psnr, metrics.ssim)
        return (mask.tobytes(), *(figure(before, after) for figure in figures))

    assert measured(1) == measured(4)
    change = np.abs(before.astype(int) - after)
    assert metrics.linf(before, after) == change.max()
    expected = 10 * np.log10(255**2 / np.square(change).mean())
    assert metrics.psnr(before, after) == pytest.approx(expected)


@pytest.mark.parametrize("size", [(301, 200), (64, 999), (7, 5)])
@pytest.mark.parametrize("factors", [(1, 1), (2, 2), (3, 5)])
def test_banded_reduction_equals_reduction_at_once(size, factors) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (*size, 3), np.uint8)
    whole = np.asarray(Image.fromarray(pixels).reduce(factors))
    assert np.array_equal(reduced_copy(pixels, *factors), whole)


@pytest.mark.parametrize("size", [(64, 48), (301, 40), (400, 500)])
def test_banded_resize_equals_reducing_gap(size) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (401, 503, 3), np.uint8)
    image = Image.fromarray(pixels)
    whole = image.resize(size[::-1], Image.Resampling.BICUBIC, reducing_gap=2.0)
    assert np.array_equal(resized(pixels, size), np.asarray(whole))
