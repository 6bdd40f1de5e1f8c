"""Grey pictures stay grey through every stage, and transparency is exact in every format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.analysis.processors import DecodedPicture, load_processor
from artscraper_runner.imaging.decode import open_picture
from artscraper_runner.imaging.encode import layer_format, save_layer
from artscraper_runner.options import AnalysisOptions, PictureLimits, ProtectionOptions
from artscraper_runner.protection_pipeline import WorkflowConfig, protect_picture
from artscraper_runner.stages.stage import StageInput
from artscraper_runner.types import Controls
from benchmarks.files.format_files import (
    alpha_samples,
    colour_samples,
    eight,
    grey_samples,
    write_png,
    write_tiff,
)

LIMITS = PictureLimits()


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif", ".bmp"])
def test_grey_picture_is_saved_grey(tmp_path: Path, suffix: str, mode: str) -> None:
    source = tmp_path / f"a{suffix}"
    Image.fromarray(eight(grey_samples())).convert(mode).save(source)
    picture = open_picture(source, LIMITS)
    assert picture.is_grey
    layer = tmp_path / f"layer{suffix}"
    save_layer(picture.pixels, picture, layer, layer_format(picture, source))
    saved = open_picture(layer, LIMITS)
    assert saved.is_grey
    spread = np.ptp(saved.pixels.astype(int), axis=2).max()
    assert spread <= (suffix == ".webp")  # its decoder rounds the channels of grey apart


def test_every_stage_of_a_grey_picture_stays_grey(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    rng = np.random.default_rng(5)
    texture = rng.normal(128, 30, (256, 256)).clip(0, 255).astype(np.uint8)
    Image.fromarray(texture).resize((512, 512)).save(source)
    stages = ("invisible-watermark", "fourier-ring", "stegano-embed")
    config = WorkflowConfig(stages=stages)
    summary = protect_picture(source, tmp_path / "out", config=config, include_hash_analysis=False)
    layers = {layer["stage"]: layer for layer in summary["layers"]}
    for layer in summary["layers"][1:]:
        saved = open_picture(Path(layer["path"]), LIMITS)
        assert (saved.pixels == saved.pixels[..., :1]).all(), layer["stage"]
    assert layers["invisible-watermark"]["applied"]
    assert not layers["stegano-embed"]["applied"] and "grey" in layers["stegano-embed"]["reason"]


def test_colour_added_to_grey_is_averaged() -> None:
    original = np.repeat(eight(grey_samples())[..., None], 3, axis=2)
    alpha = np.full(original.shape[:2], 255, np.uint8)
    alpha[:4] = 0
    inputs = StageInput(original, original, alpha, ProtectionOptions(), Controls(), is_grey=True)
    change = np.random.default_rng(3).integers(-8, 9, original.shape)
    made = np.clip(original + change, 0, 255).astype(np.uint8)
    kept = inputs.admissible(made)
    assert (kept == kept[..., :1]).all()
    assert np.abs(kept[4:, :, 0] - made[4:].mean(2)).max() <= 0.5
    assert np.array_equal(kept[:4], original[:4])


@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".png", {}), (".tif", {}), (".webp", {}), (".webp", {"lossless": True}), (".avif", {})],
)
def test_alpha_is_exact(tmp_path: Path, suffix: str, options: dict[str, Any]) -> None:
    source = tmp_path / f"a{suffix}"
    image = Image.fromarray(eight(colour_samples()))
    image.putalpha(Image.fromarray(eight(alpha_samples())))
    image.save(source, **options)
    picture = open_picture(source, LIMITS)
    layer = tmp_path / f"layer{suffix}"
    save_layer(picture.pixels, picture, layer, layer_format(picture, source))
    saved = open_picture(layer, LIMITS)
    assert saved.alpha is not None and picture.alpha is not None
    assert np.array_equal(saved.alpha, picture.alpha)


@pytest.mark.parametrize("processor", ["imagehash", "dhash", "blockhash"])
def test_hashes_over_white_ignore_hidden_colours(tmp_path: Path, processor: str) -> None:
    results = []
    for name, hidden in (("black", (0, 0, 0)), ("loud", (255, 0, 180))):
        source = tmp_path / f"{name}.png"
        pixels = eight(colour_samples())
        alpha = np.full(pixels.shape[:2], 255, np.uint8)
        alpha[:, 40:] = 0
        pixels[alpha == 0] = hidden
        Image.fromarray(np.dstack([pixels, alpha])).save(source)
        picture = DecodedPicture.of(source, open_picture(source, LIMITS))
        results.append(load_processor(processor).process(picture, AnalysisOptions()))
    assert results[0]["over_white"] == results[1]["over_white"]
    opaque = tmp_path / "opaque.png"
    Image.fromarray(eight(colour_samples())).save(opaque)
    picture = DecodedPicture.of(opaque, open_picture(opaque, LIMITS))
    assert "over_white" not in load_processor(processor).process(picture, AnalysisOptions())


@pytest.mark.parametrize("processor", ["imagehash", "dhash", "blockhash"])
@pytest.mark.parametrize("kind", ["png", "min is white"])
def test_hashes_over_white_agree_for_16_and_8_bits(
    tmp_path: Path, processor: str, kind: str
) -> None:
    wide, narrow = tmp_path / ("a.png" if kind == "png" else "a.tif"), tmp_path / "b.png"
    samples = grey_samples()
    Image.fromarray(eight(samples)).save(narrow)
    if kind == "png":
        write_png(wide, samples, 0, 16)
    else:
        write_tiff(wide, 65_535 - samples, photometric=0)
    seen, expected = (
        load_processor(processor).process(
            DecodedPicture.of(path, open_picture(path, LIMITS)), AnalysisOptions()
        )
        for path in (wide, narrow)
    )
    assert seen["over_white"] == expected
