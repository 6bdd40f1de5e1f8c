"""Lossy layers look like their originals before any change, whatever the picture and its coding."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.JpegImagePlugin import JpegImageFile

from artscraper_runner.analysis.inventory import take_inventory
from artscraper_runner.imaging.decode import Picture, open_picture
from artscraper_runner.imaging.encode import as_saved, layer_format, save_layer
from artscraper_runner.imaging.formats.coding import MEAN_LIMIT, sample_tiles
from artscraper_runner.imaging.formats.jpeg_buffer import save_image
from artscraper_runner.options import PictureLimits
from benchmarks.files.format_combinations import photograph
from benchmarks.files.format_files import ADOBE_RGB, LINEAR, cmyk_profile, grey_profile

LIMITS = PictureLimits()
RED, BLUE = (220, 30, 40), (20, 60, 230)


def pixel_art() -> np.ndarray:
    """Large pixels of strong colours: uint8 (192, 192, 3)."""
    small = np.random.default_rng(4).integers(0, 4, (64, 64))
    colours = np.array([RED, BLUE, (240, 220, 60), (30, 160, 80)], np.uint8)
    return colours[small].repeat(3, axis=0).repeat(3, axis=1)


def stripes() -> np.ndarray:
    columns = np.arange(256) // 2 % 2
    row = np.where(columns[:, None] == 0, RED, BLUE).astype(np.uint8)
    return np.repeat(row[None], 128, axis=0)


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (192, 256, 3), np.uint8)


PICTURES = {"pixel art": pixel_art, "stripes": stripes, "noise": noise}
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG 50": (".jpg", {"quality": 50}),
    "JPEG 75": (".jpg", {"quality": 75}),
    "JPEG 90": (".jpg", {"quality": 90}),
    "JPEG 95, 4:2:2": (".jpg", {"quality": 95, "subsampling": 1}),
    "JPEG 97, 4:4:4": (".jpg", {"quality": 97, "subsampling": 0}),
    "JPEG progressive": (".jpg", {"quality": 85, "progressive": True}),
    "WebP": (".webp", {"quality": 80}),
    "AVIF": (".avif", {"quality": 75}),
}


def in_srgb(picture: Picture) -> np.ndarray:
    if picture.colour.profile is None:
        return picture.pixels.astype(int)
    image = ImageCms.profileToProfile(
        Image.fromarray(picture.pixels),
        BytesIO(picture.colour.profile),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
    return np.asarray(image).astype(int)


def layer_of(source: Path) -> tuple[Path, float, list[str]]:
    """Return the unchanged layer, its mean difference in sRGB, and the notes on its encoding."""
    picture = open_picture(source, LIMITS)
    how = layer_format(picture, source)
    layer = source.with_name(f"layer{how.suffix}")
    save_layer(picture.pixels, picture, layer, how)
    difference = np.abs(in_srgb(picture) - in_srgb(open_picture(layer, LIMITS))).mean()
    notes = [n.detail for n in take_inventory(picture, source, how) if n.subject == "encoding"]
    return layer, float(difference), notes


@pytest.mark.parametrize("profile", [None, ADOBE_RGB], ids=["sRGB", "Adobe RGB"])
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", PICTURES)
def test_dense_detail_stays(tmp_path: Path, name: str, kind: str, profile: bytes | None) -> None:
    suffix, options = FORMATS[kind]
    source = tmp_path / f"a{suffix}"
    Image.fromarray(PICTURES[name]()).save(source, icc_profile=profile, **options)
    _, difference, _ = layer_of(source)
    assert difference <= MEAN_LIMIT


def test_pixel_art_keeps_the_coding_of_its_jpeg(tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    Image.fromarray(pixel_art()).save(source, quality=75)
    layer, _, notes = layer_of(source)
    with Image.open(source) as original, Image.open(layer) as image:
        assert isinstance(original, JpegImageFile) and isinstance(image, JpegImageFile)
        assert image.quantization == original.quantization and image.layer == original.layer
    assert layer.stat().st_size < 1.2 * source.stat().st_size
    assert notes == []


def test_lossy_webp_with_dense_detail_is_saved_losslessly(tmp_path: Path) -> None:
    source = tmp_path / "a.webp"
    Image.fromarray(stripes()).save(source, quality=80)
    _, difference, notes = layer_of(source)
    assert difference == 0
    (note,) = notes
    assert "without loss" in note


@pytest.mark.parametrize("quality", [75, 85, 95])
@pytest.mark.parametrize("profile", [LINEAR, grey_profile(1.0), cmyk_profile()])
def test_converted_colours_are_coded_finely_enough(
    tmp_path: Path, profile: bytes, quality: int
) -> None:
    source = tmp_path / "a.jpg"
    mode = {LINEAR: "RGB", cmyk_profile(): "CMYK"}.get(profile, "L")
    options: dict[str, Any] = {"quality": quality, "subsampling": 0, "icc_profile": profile}
    photograph().rgb.convert(mode).save(source, **options)
    _, difference, notes = layer_of(source)
    assert difference <= MEAN_LIMIT
    (note,) = notes
    assert "divided by" in note and "converted" in note


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_of_noise_at_finest_tables_is_saved(tmp_path: Path, *, progressive: bool) -> None:
    source = tmp_path / "a.jpg"
    large = np.random.default_rng(1).integers(0, 256, (1100, 1000, 3), np.uint8)
    options: dict[str, Any] = {"quality": 100, "subsampling": 0, "optimize": True}
    options["progressive"] = progressive
    with pytest.raises(OSError, match="broken data stream"):
        Image.fromarray(large).save(source, **options)
    save_image(Image.fromarray(large), source, "JPEG", options)
    assert layer_of(source)[1] <= MEAN_LIMIT


@pytest.mark.parametrize("shape", [(64, 40_000), (3_000, 2_000), (900, 5_000)])
def test_sample_of_large_picture_is_small_and_even(shape: tuple[int, int]) -> None:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    pixels = np.stack([rows % 16, columns % 16, rows * 255 // shape[0]], axis=2).astype(np.uint8)
    sample = sample_tiles(pixels)
    assert sample.shape[0] * sample.shape[1] <= 1 << 20
    assert np.array_equal(sample[:16, :16, 0], pixels[:16, :16, 0])
    assert abs(float(sample[..., 2].mean()) - float(pixels[..., 2].mean())) < 5


@pytest.mark.parametrize("profile", [None, ADOBE_RGB], ids=["sRGB", "Adobe RGB"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("kind", FORMATS)
def test_layer_is_known_before_it_is_saved(
    tmp_path: Path, kind: str, mode: str, profile: bytes | None
) -> None:
    suffix, options = FORMATS[kind]
    source = tmp_path / f"a{suffix}"
    drawn = photograph().rgb if kind == "WebP" else Image.fromarray(pixel_art())
    image = drawn.convert(mode).convert("RGB" if profile else mode)
    image.save(source, icc_profile=profile, **options)
    picture = open_picture(source, LIMITS)
    how = layer_format(picture, source)
    assert not how.lossless
    layer = source.with_name(f"layer{how.suffix}")
    save_layer(picture.pixels, picture, layer, how)
    saved = np.asarray(Image.fromarray(open_picture(layer, LIMITS).pixels).convert("L"))
    known = as_saved(picture.pixels, how, is_grey=picture.is_grey)
    assert np.array_equal(known, np.dstack([saved] * 3))
