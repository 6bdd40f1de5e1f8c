"""Opening a picture: the same pixels as Pillow's, and no warning of damaged fields."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.imaging.decode import open_picture
from artscraper_runner.imaging.encode import layer_format, save_layer
from artscraper_runner.options import PictureLimits
from tests.hashes.pictures import random_picture


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (33, 16), (40, 47)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P"])
def test_pixels_and_alpha_agree_with_pillow(
    mode: str, size: tuple[int, int], tmp_path: Path
) -> None:
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


def test_damaged_exif_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    Image.new("RGB", (8, 8)).save(path, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0\x03")
    assert open_picture(path, PictureLimits()).orientation == 1


def test_unreadable_tiff_field_is_ignored(tmp_path: Path) -> None:
    source, layer = tmp_path / "damaged.tif", tmp_path / "layer.tif"
    buffer = io.BytesIO()
    Image.new("L", (8, 8), 50).save(buffer, "TIFF", description="drawn here")
    content = buffer.getvalue()
    entry = content.index(b"\x06\x01\x03\x00\x01")  # PhotometricInterpretation, one SHORT
    source.write_bytes(content[: entry + 4] + b"\x02" + content[entry + 5 :])  # two of them
    picture = open_picture(source, PictureLimits())
    save_layer(picture.pixels, picture, layer, layer_format(picture, source))
    assert open_picture(layer, PictureLimits()).exif[0x010E] == "drawn here"
