"""The encoder that ships in the package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from artscraper_runner.errors import MissingModel
from artscraper_runner.models import bundled, load_encoder
from artscraper_runner.models.bundled import StudentNetwork, StudentShape, shape_of
from artscraper_runner.models.weights import UnusableModel


def test_the_packaged_file_is_small_and_float16() -> None:
    assert bundled.WEIGHTS.stat().st_size < 6_000_000
    assert {value.dtype for value in load_file(bundled.WEIGHTS).values()} == {torch.float16}


def test_the_shape_is_read_from_the_weights() -> None:
    shape = StudentShape(quarter_width=8, eighth_width=16, blocks=2, latent_channels=5)
    assert shape_of(StudentNetwork(shape).state_dict()) == shape


def test_missing_weights_say_how_to_make_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled, "WEIGHTS", tmp_path / "bundled.safetensors")
    with pytest.raises(MissingModel, match=r"training\.distil") as caught:
        load_encoder("bundled")
    assert caught.value.searched == (tmp_path,)


def test_weights_of_another_network_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bundled.safetensors"
    monkeypatch.setattr(bundled, "WEIGHTS", path)
    state = StudentNetwork(StudentShape(quarter_width=8, eighth_width=8, blocks=1)).state_dict()
    save_file({**state, "more": torch.zeros(1)}, path)
    with pytest.raises(UnusableModel, match="more"):
        load_encoder("bundled")
    save_file({"other": torch.zeros(1)}, path)
    with pytest.raises(UnusableModel, match=r"stem\.weight"):
        load_encoder("bundled")
    path.write_bytes(b"damaged")
    with pytest.raises(UnusableModel, match="expected tensors"):
        load_encoder("bundled")


def test_its_latents_follow_the_teachers(painting: torch.Tensor, shared_models: Path) -> None:
    teacher = load_encoder("taef2", models_dir=shared_models)
    ours, theirs = load_encoder("bundled")(painting), teacher(painting)
    assert torch.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.85


def test_an_attack_through_it_moves_the_teacher_more_than_noise_does(
    painting: torch.Tensor, shared_models: Path
) -> None:
    student = load_encoder("bundled")
    teacher = load_encoder("taef2", models_dir=shared_models)
    generator, budget = torch.Generator().manual_seed(0), 8 / 255
    signs = torch.randn(painting.shape, generator=generator).sign()
    change, original = signs * budget / 8, student(painting)
    for _ in range(6):
        change.requires_grad_(True)
        moved = (student(painting + change) - original).square().sum()
        (gradient,) = torch.autograd.grad(moved, change)
        change = (change.detach() + budget / 3 * gradient.sign()).clamp(-budget, budget)

    def effect(difference: torch.Tensor) -> float:
        seen = teacher((painting + difference).clamp(0, 1))
        return float((seen - teacher(painting)).norm())

    same_error = signs * change.square().mean().sqrt()
    assert effect(change) > 1.7 * effect(same_error)


def test_a_picture_has_the_same_gradient_each_time(gradients: Callable[..., set[bytes]]) -> None:
    """In float32, where a convolution of a single cell would change it."""
    block = bundled.ResidualBlock(128, sees_whole=True).requires_grad_(False)
    torch.nn.init.normal_(block.second.weight, std=0.1)
    block = block.to(memory_format=torch.channels_last)
    given = torch.rand(1, 128, 63, 43, generator=torch.Generator().manual_seed(0))
    features = given.contiguous(memory_format=torch.channels_last)
    assert len(gradients(block, features, passes=60)) == 1
