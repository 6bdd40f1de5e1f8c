"""Several encoders as one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from artscraper_runner.errors import MissingModel, UnknownName
from artscraper_runner.models import load_encoder
from artscraper_runner.models.ensemble import Ensemble, reference_pictures


def load(random_models: Path, name: str) -> Ensemble:
    encoder = load_encoder(name, models_dir=random_models)
    assert isinstance(encoder, Ensemble)
    return encoder


def test_members_count_equally_whatever_their_scale_and_size(random_models: Path) -> None:
    ensemble = load(random_models, "ensemble:taesd+taef2")
    taesd, taef2 = (len(member(reference_pictures())[0].flatten()) for member in ensemble.members)
    answers = ensemble(reference_pictures())
    assert answers.shape == (4, taesd + taef2)
    powers = [part.square().sum(1).mean() for part in answers.split([taesd, taef2], dim=1)]
    assert powers == pytest.approx([1, 1], rel=1e-3)


def test_relative_displacement_is_the_mean_square_of_the_members(random_models: Path) -> None:
    ensemble = load(random_models, "ensemble:taesd3+taef1")
    original = reference_pictures()
    changed = (original + 0.03 * torch.randn(original.shape)).clamp(0, 1)

    def displacement(answers: torch.Tensor, reference: torch.Tensor) -> float:
        return float((answers - reference).norm() / reference.norm())

    whole = displacement(ensemble(changed), ensemble(original))
    parts = [displacement(member(changed), member(original)) for member in ensemble.members]
    assert whole**2 == pytest.approx(sum(part**2 for part in parts) / 2, rel=0.02)


def test_stride_and_channels_describe_all_members(random_models: Path) -> None:
    ensemble = load(random_models, "ensemble:taesd+taesd3+taef2")
    assert ensemble.latent_channels == 4 + 16 + 32
    assert ensemble.stride == 8
    assert ensemble.name == "ensemble:taesd+taesd3+taef2"


@pytest.mark.parametrize("argument", ["taesd", "taesd+taesd", "taesd+", "taesd+ensemble:a"])
def test_what_is_no_ensemble_is_refused(argument: str, random_models: Path) -> None:
    with pytest.raises(UnknownName):
        load_encoder(f"ensemble:{argument}", models_dir=random_models)


def test_a_members_missing_weights_are_told(tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match="taef1_encoder"):
        load_encoder("ensemble:bundled+taef1", models_dir=tmp_path)
