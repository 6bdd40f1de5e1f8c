"""The registry, and the contract that every registered encoder keeps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from artscraper_runner.errors import MissingDependency, MissingModel, UnknownName
from artscraper_runner.models import encoder_names, load_encoder, standby_encoders

CONTRACT = [*encoder_names(), "ensemble:taesd+taef2"]


def test_names_are_these() -> None:
    assert encoder_names() == ("bundled", "taesd", "taesdxl", "taesd3", "taef1", "taef2")


@pytest.mark.system
def test_importing_the_registry_loads_no_torch() -> None:
    code = "import sys, artscraper_runner.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["x", "", "vae", "vae:", "ensemble", "ensemble:", "bundled:x"])
def test_an_unknown_name_is_answered_with_the_valid_ones(name: str) -> None:
    with pytest.raises(UnknownName, match="valid: bundled, taesd") as caught:
        load_encoder(name)
    assert (caught.value.name, caught.value.kind) == (name, "encoder")
    assert set(encoder_names()) < set(caught.value.valid)


@pytest.mark.parametrize(
    ("attacked", "left"),
    [
        ("bundled", ("taef2", "taesd")),
        ("taef2", ("taesd", "bundled")),
        ("ensemble:taef2+taesd", ("bundled",)),
        ("ensemble:bundled+taesd", ("taef2",)),
        ("vae:somewhere", ("taef2", "taesd", "bundled")),
    ],
)
def test_what_was_not_attacked_is_at_hand_the_bundled_encoder_last(
    attacked: str, left: tuple[str, ...], tmp_path: Path
) -> None:
    for name in ("taesd", "taef2"):
        (tmp_path / f"{name}_encoder.pth").touch()
    assert standby_encoders(attacked, tmp_path) == left
    without_folder = () if "bundled" in attacked else ("bundled",)
    assert standby_encoders(attacked, None) == without_folder


def test_a_missing_package_is_named_with_its_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    monkeypatch.delitem(sys.modules, "artscraper_runner.models.vae", raising=False)
    with pytest.raises(MissingDependency, match=r"pip install 'artscraper-gateway\[vae\]'"):
        load_encoder("vae:somewhere")


@pytest.mark.parametrize("name", [name for name in encoder_names() if name != "bundled"])
def test_missing_weights_are_named_with_the_folders_searched(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match=f"{name}_encoder.safetensors") as caught:
        load_encoder(name, models_dir=tmp_path)
    assert caught.value.searched == (tmp_path / name, tmp_path)
    assert caught.value.setting == "models_dir"
    with pytest.raises(MissingModel, match="no folder"):
        load_encoder(name)


def test_a_caller_reads_which_files_and_settings_are_needed_but_no_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingModel) as caught:
        load_encoder("taef2", models_dir=tmp_path)
    public = caught.value.public
    assert public.startswith("expected taef2_encoder.safetensors or taef2_encoder.pth")
    assert "setting models_dir" in public and "allow_downloads" in public
    assert str(tmp_path) not in public


@pytest.mark.parametrize("name", CONTRACT)
def test_every_encoder_answers_finite_float32_latents_for_any_size(
    name: str, random_models: Path
) -> None:
    encoder = load_encoder(name, models_dir=random_models)
    assert encoder.name == name
    for height, width in [(1, 1), (5, 33), (64, 40)]:
        latents = encoder(torch.rand(2, 3, height, width))
        assert latents.dtype == torch.float32
        assert latents.isfinite().all()
        cells = -(-height // encoder.stride), -(-width // encoder.stride)
        assert latents.flatten(1).shape == (2, encoder.latent_channels * cells[0] * cells[1])


@pytest.mark.parametrize("name", CONTRACT)
def test_every_encoder_is_frozen_and_differentiable_in_the_picture(
    name: str, random_models: Path
) -> None:
    encoder = load_encoder(name, models_dir=random_models)
    picture = torch.rand(1, 3, 40, 33, requires_grad=True)
    (gradient,) = torch.autograd.grad(encoder(picture).square().sum(), picture)
    assert gradient.shape == picture.shape
    assert gradient.abs().sum() > 0
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize("name", CONTRACT)
def test_bfloat16_changes_latents_by_less_than_three_percent(
    name: str, random_models: Path
) -> None:
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    exact = load_encoder(name, models_dir=random_models, bfloat16=False)(picture)
    rounded = load_encoder(name, models_dir=random_models, bfloat16=True)(picture)
    assert (rounded - exact).norm() < 0.03 * exact.norm()
