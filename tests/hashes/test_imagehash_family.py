"""The oracles are ImageHash 4.3.2 and dhash 1.4 themselves."""

import warnings

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.analysis.hashes import hexadecimal
from artscraper_runner.analysis.hashes.imagehash_family import (
    average_hash,
    difference_hash,
    perceptual_hash,
    row_and_column_hash,
)
from artscraper_runner.analysis.hashes.luma_thumbnails import LumaThumbnails
from artscraper_runner.analysis.hashes.wavelet_hash import wavelet_hash
from tests.hashes.pictures import made_pictures, sample_pictures, sixteen_bit

imagehash = pytest.importorskip("imagehash")
dhash = pytest.importorskip("dhash")
MADE = dict(made_pictures())


def ours(image: Image.Image) -> dict[str, str]:
    thumbnails = LumaThumbnails(image, np.zeros((1, 1, 3), np.uint8))
    row, column = row_and_column_hash(thumbnails)
    return {
        "average": hexadecimal(average_hash(thumbnails)),
        "perceptual": hexadecimal(perceptual_hash(thumbnails)),
        "difference": hexadecimal(difference_hash(thumbnails)),
        "wavelet": hexadecimal(wavelet_hash(thumbnails)),
        "row and column": hexadecimal(row) + hexadecimal(column),
    }


def theirs(image: Image.Image) -> dict[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries call what Pillow is about to remove
        return {
            "average": str(imagehash.average_hash(image)),
            "perceptual": str(imagehash.phash(image)),
            "difference": str(imagehash.dhash(image)),
            "wavelet": str(imagehash.whash(image)),
            "row and column": dhash.format_hex(*dhash.dhash_row_col(image)),
        }


@pytest.mark.parametrize("name", MADE)
def test_synthetic_pictures_hash_as_the_libraries(name: str) -> None:
    assert ours(MADE[name]) == theirs(MADE[name])


@pytest.mark.parametrize("path", sample_pictures(), ids=lambda path: path.name)
def test_samples_hash_as_the_libraries(path) -> None:
    with Image.open(path) as image:
        assert ours(image) == theirs(image)


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (101, 60)])
def test_sixteen_bit_grey_hashes_as_the_libraries(size: tuple[int, int]) -> None:
    assert ours(sixteen_bit(size)) == theirs(sixteen_bit(size))


def test_transparent_palette_hashes_as_the_libraries() -> None:
    image = MADE["random P (101, 60)"].copy()
    image.info["transparency"] = bytes(range(256))
    assert ours(image) == theirs(image)


def test_cmyk_hashes_as_the_libraries() -> None:
    image = MADE["random RGB (101, 60)"].convert("CMYK")
    assert ours(image) == theirs(image)


def test_samples_exist() -> None:
    if not sample_pictures():
        pytest.skip("the sample pictures are not beside the repository, in ../shared/images")
    assert len(sample_pictures()) == 31
