"""How a surrogate is scored."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from artscraper_runner.models.base import Encoder
from artscraper_runner.models.request import LoadRequest
from training import evaluate
from training.evaluate import Trial
from training.pictures import HELD_OUT

PICTURE = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 8, stride=8), nn.Tanh())
    return Encoder(network, name="toy", latent_channels=16, stride=8, request=LoadRequest())


def test_an_attack_keeps_its_budget_after_saving(encoder: Encoder) -> None:
    protected = evaluate.attacked(encoder, PICTURE, Trial(budget=8, steps=3))
    original = evaluate.as_saved(PICTURE)
    assert ((protected - original) * 255).abs().max().round() <= 9  # 8, and half a level of each
    assert torch.equal(protected, evaluate.as_saved(protected))


def test_random_signs_have_the_same_mean_square_error(encoder: Encoder) -> None:
    protected = evaluate.attacked(encoder, PICTURE, Trial(steps=3))
    noisy = evaluate.random_signs(PICTURE, protected, seed=0)
    errors = [(x - PICTURE).square().mean().item() for x in (noisy, protected)]
    assert errors[0] == pytest.approx(errors[1], rel=0.02)


def test_an_attack_through_the_judge_itself_beats_random_signs(encoder: Encoder) -> None:
    effects = evaluate.effects(encoder, encoder, PICTURE, Trial())
    assert set(effects) == {"plain", "JPEG 75", "halved"}
    assert effects["plain"] > 2


def test_conditions_keep_shape_and_range() -> None:
    for view in evaluate.CONDITIONS.values():
        seen = view(PICTURE)
        assert seen.shape == PICTURE.shape
        assert 0 <= seen.min() <= seen.max() <= 1


def test_displacement_is_relative_to_the_original(encoder: Encoder) -> None:
    moved = evaluate.displacements(encoder, PICTURE, torch.cat([PICTURE, PICTURE.flip(3)]))
    latents, flipped = encoder(PICTURE), encoder(PICTURE.flip(3))
    expected = float((flipped - latents).norm() / latents.norm())
    assert moved.tolist() == pytest.approx([0, expected], rel=1e-2)


def test_held_out_pictures_are_cropped_square_or_told_missing(tmp_path: Path) -> None:
    for name in HELD_OUT[1:]:
        Image.new("RGB", (30, 20)).save(tmp_path / f"{name}.png")
    with pytest.raises(FileNotFoundError, match=HELD_OUT[0]):
        evaluate.held_out_pictures(tmp_path, size=16)
    Image.new("L", (20, 30)).save(tmp_path / f"{HELD_OUT[0]}.png")
    pictures = evaluate.held_out_pictures(tmp_path, size=16)
    assert tuple(pictures) == HELD_OUT
    assert {tuple(picture.shape) for picture in pictures.values()} == {(1, 3, 16, 16)}
