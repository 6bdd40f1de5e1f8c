"""Previews keep the picture's proportions, colours and transparency."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.imaging.thumbnails import write_preview
from artscraper_runner.options import PictureLimits

LIMITS = PictureLimits()


def saved(path: Path, mode: str = "RGB", size: tuple[int, int] = (300, 200), **options) -> Path:
    pixels = np.zeros((size[1], size[0], 4), np.uint8)
    pixels[...] = (200, 40, 90, 255)
    pixels[:, : size[0] // 2, 3] = 0
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".webp", ".jpg"])
def test_preview_keeps_shape_and_colour(tmp_path, suffix):
    source = saved(tmp_path / "a.png")
    write_preview(source, tmp_path / f"b{suffix}", 150, LIMITS)
    with Image.open(tmp_path / f"b{suffix}") as image:
        assert image.size == (150, 100)
        assert np.abs(np.asarray(image.convert("RGB"), int) - (200, 40, 90)).max() <= 8
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", f"b{suffix}"}


def test_transparency_is_kept_in_webp_and_white_in_jpeg(tmp_path):
    source = saved(tmp_path / "a.png", "RGBA")
    write_preview(source, tmp_path / "b.webp", 100, LIMITS)
    write_preview(source, tmp_path / "b.jpg", 100, LIMITS)
    with Image.open(tmp_path / "b.webp") as webp, Image.open(tmp_path / "b.jpg") as jpeg:
        assert webp.getpixel((5, 5))[3] == 0 and webp.getpixel((95, 5))[3] == 255
        assert min(jpeg.getpixel((5, 5))) > 245


def test_hidden_pixels_do_not_bleed_into_previews(tmp_path):
    pixels = np.zeros((900, 1400, 4), np.uint8)
    pixels[...] = (255, 0, 0, 0)
    pixels[300:, 500:] = (0, 0, 200, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for side in (64, 1000):  # with means before, and without
        write_preview(tmp_path / "a.png", tmp_path / "b.webp", side, LIMITS)
        with Image.open(tmp_path / "b.webp") as image:
            made = np.asarray(image).astype(int)
        assert made.shape == (round(900 * side / 1400), side, 4)
        assert made[..., 0][made[..., 3] > 0].max() < 30


def test_banded_reduction_equals_reduction_at_once(tmp_path, textured):
    large = Image.fromarray(textured).resize((1501, 1003))
    large.save(tmp_path / "a.png")
    write_preview(tmp_path / "a.png", tmp_path / "b.webp", 100, LIMITS)
    large.resize((100, 67), Image.Resampling.LANCZOS).save(tmp_path / "c.webp", quality=82)
    made, at_once = (
        np.asarray(Image.open(tmp_path / name).convert("RGB")).astype(int)
        for name in ("b.webp", "c.webp")
    )
    assert np.abs(made - at_once).mean() < 3


@pytest.mark.system
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from Linux' /proc")
def test_largest_picture_needs_less_than_a_gibibyte(tmp_path):
    Image.new("RGBA", (7050, 7050), (9, 80, 200, 128)).save(
        tmp_path / "a.webp", lossless=True, method=0
    )
    code = (
        "from pathlib import Path\n"
        "from artscraper_runner.imaging.thumbnails import write_preview\n"
        "from artscraper_runner.options import PictureLimits\n"
        "write_preview(Path('a.webp'), Path('b.webp'), 400, PictureLimits())\n"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2**20  # KiB


def test_preview_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    source = saved(tmp_path / "a.jpg", exif=exif)
    write_preview(source, tmp_path / "b.webp", 150, LIMITS)
    with Image.open(tmp_path / "b.webp") as image:
        assert image.size == (100, 150)


@pytest.mark.parametrize(("side", "name"), [(15, "b.webp"), (2049, "b.webp"), (100, "b.bmp")])
def test_unavailable_previews_are_reported(tmp_path, side, name):
    source = saved(tmp_path / "a.png")
    with pytest.raises(ValueError, match="expected"):
        write_preview(source, tmp_path / name, side, LIMITS)
