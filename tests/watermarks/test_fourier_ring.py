"""Rings are found after turning and resizing, and p-values are uniform where there are none."""

from collections.abc import Callable

import numpy as np
import pytest

from artscraper_runner.errors import PictureTooSmall
from artscraper_runner.watermarks.fourier_ring import detect, embed

from .pictures import Pixels, painting, psnr, resized, rotated, saved, shared_picture

CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "nothing": lambda pixels: pixels,
    "JPEG 30": lambda pixels: saved(pixels, "JPEG", 30),
    "half": lambda pixels: resized(pixels, 0.5),
    "turned": lambda pixels: np.ascontiguousarray(np.rot90(pixels)),
    "mirrored": lambda pixels: np.ascontiguousarray(pixels[:, ::-1]),
    "5 degrees": lambda pixels: rotated(pixels, 5),
    "30 degrees": lambda pixels: rotated(pixels, 30),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["photos/kodak_04.png", "paintings/vangogh_02.png"])
def test_ring_survives_changes(name: str, change: str) -> None:
    picture = shared_picture(name)
    marked = embed(picture)
    assert psnr(picture, marked) > 42
    assert detect(CHANGES[change](marked)).is_marked


def test_p_values_of_clean_pictures_are_uniform() -> None:
    values = [detect(painting(256, 320, seed=seed)).p_value for seed in range(60)]
    assert min(values) > 0.001
    assert 0.35 < float(np.mean(values)) < 0.65


def test_flat_and_tiny_pictures_are_not_marked() -> None:
    assert not detect(np.full((300, 300, 3), 90, np.uint8)).is_marked
    assert detect(np.full((5, 3, 3), 90, np.uint8)).p_value == 1
    with pytest.raises(PictureTooSmall):
        embed(np.zeros((255, 300, 3), np.uint8))
