"""Several encoders as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from artscraper_runner.errors import MissingModel, UnknownName
from artscraper_runner.models import load_encoder
from artscraper_runner.models.ensemble import Ensemble, reference_pictures
from artscraper_runner.models.protocol import Encoder, EncoderOptions
from tests.models.conftest import by_torch, random_objective


def load(random_models: Path, name: str) -> Ensemble:
    encoder = load_encoder(name, EncoderOptions(models_dir=random_models))
    assert isinstance(encoder, Ensemble)
    return encoder


def test_members_have_equal_weight(random_models: Path) -> None:
    ensemble = load(random_models, "ensemble:taesd+taef2")
    taesd, taef2 = (member.latents(reference_pictures()).shape[1] for member in ensemble.members)
    latents = ensemble.latents(reference_pictures())
    assert latents.shape == (4, taesd + taef2)
    powers = [np.square(part).sum(1).mean() for part in np.split(latents, [taesd], axis=1)]
    assert powers == pytest.approx([1, 1], rel=1e-3)


def test_relative_displacement_is_the_root_mean_square_of_members(random_models: Path) -> None:
    ensemble = load(random_models, "ensemble:taesd3+taef1")
    original = reference_pictures()
    noise = np.random.default_rng(0).normal(0, 0.03, original.shape).astype(np.float32)
    changed = (original + noise).clip(0, 1)

    def displacement(encoder: Encoder) -> float:
        before, after = (encoder.latents(pictures) for pictures in (original, changed))
        return float(np.linalg.norm(after - before) / np.linalg.norm(before))

    parts = [displacement(member) for member in ensemble.members]
    assert displacement(ensemble) ** 2 == pytest.approx(sum(p**2 for p in parts) / 2, rel=0.02)


@pytest.mark.parametrize("size", [(40, 33), (16, 16)])
def test_gradient_agrees_with_torch_and_finite_differences(
    size: tuple[int, int], random_models: Path
) -> None:
    options = {"models_dir": random_models, "bfloat16": False}
    ensemble = load_encoder("ensemble:taesd+taef2", EncoderOptions(**options))
    picture = np.random.default_rng(1).random((1, 3, *size), np.float32)
    objective = random_objective(ensemble.latents(picture))
    value, gradient = load_encoder(
        "ensemble:taesd+taef2", EncoderOptions(**options)
    ).value_and_gradient(picture, objective)
    assert value == pytest.approx(objective.value(ensemble.latents(picture)), rel=1e-4)
    step = np.float32(0.003) * gradient / np.abs(gradient).max()
    up, down = (objective.value(ensemble.latents(picture + s * step)) for s in (1, -1))
    assert (up - down) / 2 == pytest.approx(float((gradient * step).sum()), rel=0.05)
    if size == (16, 16):
        leaf = torch.from_numpy(picture).requires_grad_(True)
        parts = [
            member.network(leaf).flatten(1) / scale
            for member, scale in zip(ensemble.members, _scales(ensemble, picture), strict=True)
        ]
        (expected,) = torch.autograd.grad(by_torch(torch.cat(parts, dim=1), objective), leaf)
        assert np.allclose(gradient, expected.numpy(), atol=1e-4 * np.abs(gradient).max())


def _scales(ensemble: Ensemble, picture: np.ndarray) -> list[float]:
    lengths = [member.latents(picture).shape[1] for member in ensemble.members]
    pairs = zip(ensemble.typical_sizes, lengths, strict=True)
    return [size * length**0.5 for size, length in pairs]


def test_ensemble_stride_suits_all_members(random_models: Path) -> None:
    ensemble = load(random_models, "ensemble:taesd+taesd3+taef2")
    assert ensemble.stride == 8
    assert ensemble.name == "ensemble:taesd+taesd3+taef2"


@pytest.mark.parametrize("argument", ["taesd", "taesd+taesd", "taesd+", "taesd+ensemble:a"])
def test_invalid_ensembles_are_refused(argument: str, random_models: Path) -> None:
    with pytest.raises(UnknownName):
        load_encoder(f"ensemble:{argument}", EncoderOptions(models_dir=random_models))


def test_ensemble_reports_missing_weights_of_a_member(tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match="taef1_encoder"):
        load_encoder("ensemble:bundled+taef1", EncoderOptions(models_dir=tmp_path))
