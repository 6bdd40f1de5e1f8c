"""Previews keep the picture's proportions, colours and transparency."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.previews import write_preview
from artscraper_runner.types import PictureLimits

LIMITS = PictureLimits()


def saved(path: Path, mode: str = "RGB", size: tuple[int, int] = (300, 200), **options) -> Path:
    pixels = np.zeros((size[1], size[0], 4), np.uint8)
    pixels[...] = (200, 40, 90, 255)
    pixels[:, : size[0] // 2, 3] = 0
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".webp", ".jpg"])
def test_a_smaller_copy_of_the_same_shape_and_colour(tmp_path, suffix):
    source = saved(tmp_path / "a.png")
    write_preview(source, tmp_path / f"b{suffix}", 150, LIMITS)
    with Image.open(tmp_path / f"b{suffix}") as image:
        assert image.size == (150, 100)
        assert np.abs(np.asarray(image.convert("RGB"), int) - (200, 40, 90)).max() <= 8
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", f"b{suffix}"}


def test_transparency_is_kept_by_webp_and_becomes_white_in_jpeg(tmp_path):
    source = saved(tmp_path / "a.png", "RGBA")
    write_preview(source, tmp_path / "b.webp", 100, LIMITS)
    write_preview(source, tmp_path / "b.jpg", 100, LIMITS)
    with Image.open(tmp_path / "b.webp") as webp, Image.open(tmp_path / "b.jpg") as jpeg:
        assert webp.getpixel((5, 5))[3] == 0 and webp.getpixel((95, 5))[3] == 255
        assert min(jpeg.getpixel((5, 5))) > 245


def test_it_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    source = saved(tmp_path / "a.jpg", exif=exif)
    write_preview(source, tmp_path / "b.webp", 150, LIMITS)
    with Image.open(tmp_path / "b.webp") as image:
        assert image.size == (100, 150)


@pytest.mark.parametrize(("side", "name"), [(15, "b.webp"), (2049, "b.webp"), (100, "b.bmp")])
def test_what_cannot_be_made_is_said(tmp_path, side, name):
    source = saved(tmp_path / "a.png")
    with pytest.raises(ValueError, match="expected"):
        write_preview(source, tmp_path / name, side, LIMITS)
