"""The score of a surrogate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from artscraper_runner.models.protocol import EncoderOptions
from artscraper_runner.models.torch_encoder import TorchEncoder
from training import evaluate
from training.evaluate import Trial
from training.pictures import HELD_OUT

PICTURE = np.random.default_rng(0).random((1, 3, 32, 32), np.float32)


@pytest.fixture
def encoder() -> TorchEncoder:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 8, stride=8), nn.Tanh())
    return TorchEncoder(network, name="toy", latent_channels=16, stride=8, options=EncoderOptions())


def test_attack_keeps_its_budget_after_saving(encoder: TorchEncoder) -> None:
    protected = evaluate.attacked(encoder, PICTURE, Trial(budget=8, steps=3))
    original = evaluate.as_saved(PICTURE)
    assert np.rint(np.abs(protected - original) * 255).max() <= 9  # 8, and half a level of each
    assert np.array_equal(protected, evaluate.as_saved(protected))


def test_attack_on_the_judge_beats_random_signs(encoder: TorchEncoder) -> None:
    effects = evaluate.effects(encoder, encoder, PICTURE, Trial())
    assert set(effects) == {"plain", "jpeg_75", "halved"}
    assert effects["plain"] > 2


def test_held_out_pictures_are_square_or_reported_missing(tmp_path: Path) -> None:
    for name in HELD_OUT[1:]:
        Image.new("RGB", (30, 20)).save(tmp_path / f"{name}.png")
    with pytest.raises(FileNotFoundError, match=HELD_OUT[0]):
        evaluate.held_out_pictures(tmp_path, size=16)
    Image.new("L", (20, 30)).save(tmp_path / f"{HELD_OUT[0]}.png")
    pictures = evaluate.held_out_pictures(tmp_path, size=16)
    assert tuple(pictures) == HELD_OUT
    assert {tuple(picture.shape) for picture in pictures.values()} == {(1, 3, 16, 16)}
