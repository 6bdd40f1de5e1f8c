"""Opening a picture: the same pixels as Pillow's, and no warning of damaged fields."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.images import open_picture
from artscraper_runner.types import PictureLimits
from tests.hashes.pictures import random_picture


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (33, 16), (40, 47)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P"])
def test_pixels_and_alpha_are_pillows(mode: str, size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    image = random_picture(size, mode)
    image.save(path)
    picture = open_picture(path, PictureLimits())
    rgba = np.asarray(image.convert("RGBA"))
    assert np.array_equal(picture.pixels, rgba[..., :3])
    assert picture.pixels.flags.c_contiguous
    assert (picture.alpha is None) == (mode not in ("RGBA", "LA"))
    if picture.alpha is not None:
        assert np.array_equal(picture.alpha, rgba[..., 3])


def test_damaged_exif_is_neither_an_error_nor_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    Image.new("RGB", (8, 8)).save(path, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0\x03")
    assert open_picture(path, PictureLimits()).orientation == 1
