"""The oracle is phash-blockhashio 0.1.4 itself."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.analysis.hashes import hexadecimal
from artscraper_runner.analysis.hashes.block_mean_hash import SIDES, block_mean_hashes
from tests.hashes.pictures import made_pictures, sample_pictures

library = pytest.importorskip("blockhash.core")
MADE = dict(made_pictures())
# What the library made of the samples at full size, [8, 16] bits a side.
OF_THE_LIBRARY = json.loads(Path(__file__).with_name("blockhash_of_samples.json").read_text())
_LARGEST_FOR_THE_LIBRARY = 256  # px a side of the samples; it needs 4 us a pixel and hash


def as_the_library_wants(image: Image.Image) -> Image.Image:
    """Convert as the library's command line does: grey and palette to RGB, LA to RGBA."""
    return image if image.mode in ("RGB", "RGBA") else library_mode(image)


def library_mode(image: Image.Image) -> Image.Image:
    return image.convert("RGBA" if image.mode == "LA" else "RGB")


def ours(image: Image.Image) -> list[str]:
    pixels = np.asarray(image)
    alpha = pixels[..., 3] if image.mode == "RGBA" else None
    hashes = block_mean_hashes(pixels[..., :3], alpha)
    return [hexadecimal(hashes[side]) for side in SIDES]


def theirs(image: Image.Image) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls what Pillow is about to remove
        return [library.blockhash(image, side) for side in SIDES]


@pytest.mark.parametrize("name", MADE)
def test_synthetic_pictures_hash_as_the_library(name: str) -> None:
    image = as_the_library_wants(MADE[name])
    assert ours(image) == theirs(image)


@pytest.mark.parametrize("path", sample_pictures(), ids=lambda path: path.name)
def test_reduced_samples_hash_as_the_library(path) -> None:
    with Image.open(path) as opened:
        image = opened.convert("RGB")
        image.thumbnail((_LARGEST_FOR_THE_LIBRARY, _LARGEST_FOR_THE_LIBRARY))
    assert ours(image) == theirs(image)


@pytest.mark.parametrize("path", sample_pictures(), ids=lambda path: path.name)
def test_samples_hash_as_recorded(path: Path) -> None:
    with Image.open(path) as opened:
        assert ours(opened.convert("RGB")) == OF_THE_LIBRARY[path.name]


@pytest.mark.slow  # minutes: the library is written in Python
@pytest.mark.parametrize("path", sample_pictures(), ids=lambda path: path.name)
def test_library_hashes_samples_as_recorded(path: Path) -> None:
    with Image.open(path) as opened:
        assert theirs(opened.convert("RGB")) == OF_THE_LIBRARY[path.name]


@pytest.mark.parametrize("size", [(64, 48), (131, 97), (17, 40), (40, 300)])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_dark_pictures_follow_the_library_rounding(size: tuple[int, int], levels: int) -> None:
    random = np.random.default_rng(levels)
    pixels = random.integers(0, levels, (size[1], size[0], 3), dtype=np.uint8) + np.uint8(3)
    image = Image.fromarray(pixels)
    assert ours(image) == theirs(image)
