"""Training crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.pictures import (
    HELD_OUT,
    Augmentation,
    CropSource,
    augmented,
    is_held_out,
    training_files,
)


def test_held_out_pictures_are_never_trained_on(images: Path) -> None:
    for name in (*HELD_OUT, "near-duplicates/variant", "deep/near-duplicates/variant"):
        path = images / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    assert [path.name for path in training_files(images)] == ["one.png", "two.jpg"]


@pytest.mark.parametrize("name", ["photos/kodak_04.png", "Kodak_04.jpg", "mona_lisa.webp"])
def test_picture_is_held_out_in_any_folder_and_format(name: str) -> None:
    assert is_held_out(Path(name))


def test_folder_without_training_pictures_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected training pictures"):
        training_files(tmp_path)


def test_crops_have_requested_size_and_range(images: Path) -> None:
    crops = CropSource(training_files(images), drawn=2, rng=np.random.default_rng(0))
    for size in (64, 256):
        batch = crops.batch(3, size=size)
        assert batch.shape == (3, 3, size, size)
        assert batch.dtype == np.float32
        assert 0 <= batch.min() < batch.max() <= 1


def test_same_seed_draws_the_same_crops(images: Path) -> None:
    first, second = (
        CropSource(training_files(images), drawn=2, rng=np.random.default_rng(7)).batch(4, size=64)
        for _ in range(2)
    )
    assert np.array_equal(first, second)


def test_crop_without_augmentation_is_unchanged() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    how = Augmentation(
        scales=(1.0,),
        flip=0,
        quarter_turn=0,
        free_turn=0,
        tone=0,
        permute_channels=0,
        grey=0,
        blur=0,
        jpeg=0,
    )
    crop = augmented(np.random.default_rng(1), Image.fromarray(pixels), size=24, how=how)
    pieces = np.lib.stride_tricks.sliding_window_view(pixels, (24, 24, 3)).reshape(-1, 24, 24, 3)
    assert (pieces == crop).all((1, 2, 3)).any()


def test_augmentations_keep_shape_and_type() -> None:
    picture = Image.effect_noise((90, 70), 60).convert("RGB")
    how = Augmentation(
        flip=1,
        quarter_turn=1,
        free_turn=1,
        tone=1,
        permute_channels=1,
        grey=1,
        blur=1,
        jpeg=1,
    )
    crop = augmented(np.random.default_rng(0), picture, size=128, how=how)
    assert crop.shape == (128, 128, 3)
    assert crop.dtype == np.uint8
