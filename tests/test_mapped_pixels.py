"""Pixels that take memory only while they are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from artscraper_runner.imaging.tiles import CAN_UNLOAD, unload

pytestmark = pytest.mark.skipif(not CAN_UNLOAD, reason="this system cannot unload mapped pages")


def test_mapped_pixels_are_read_again_after_they_were_unloaded(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    mapped = np.load(tmp_path / "pixels.npy", "r")
    for _ in range(2):
        assert np.array_equal(mapped, pixels)
        unload(mapped, pixels)
    assert not mapped.flags.writeable
    assert np.array_equal(pixels[::2], mapped[::2])


def test_mapped_pixels_outlive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "pixels.npy"
    np.save(path, np.full((4, 4, 3), 7, np.uint8))
    mapped = np.load(path, "r")
    path.unlink()
    unload(mapped)
    assert (mapped == 7).all()
