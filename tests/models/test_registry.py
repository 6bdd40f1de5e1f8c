"""The registry, and the contract that every registered encoder keeps."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from artscraper_runner import models
from artscraper_runner.errors import MissingDependency, MissingModel, UnknownName
from artscraper_runner.models import (
    encoder_names,
    load_encoder,
    require_encoder,
    standby_encoders,
)
from artscraper_runner.models.protocol import EncoderOptions, QuadraticObjective

CONTRACT = [*encoder_names(), "ensemble:taesd+taef2"]


def test_registry_lists_the_encoders() -> None:
    assert encoder_names() == ("bundled", "taesd", "taesdxl", "taesd3", "taef1", "taef2")


@pytest.mark.system
def test_importing_registry_loads_no_runtime() -> None:
    code = (
        "import sys, artscraper_runner.models;"
        "sys.exit(bool({'torch', 'onnxruntime', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["x", "", "vae", "vae:", "ensemble", "ensemble:", "bundled:x"])
def test_unknown_name_lists_valid_ones(name: str) -> None:
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
def test_unattacked_encoders_end_with_bundled(
    attacked: str, left: tuple[str, ...], tmp_path: Path
) -> None:
    for name in ("taesd", "taef2"):
        (tmp_path / f"{name}_encoder.pth").touch()
    assert standby_encoders(attacked, tmp_path) == left
    without_folder = () if "bundled" in attacked else ("bundled",)
    assert standby_encoders(attacked, None) == without_folder


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("taef2", "torch", "torch"),
        ("taesd", "safetensors", "torch"),
        ("vae:somewhere", "diffusers", "vae"),
        ("vae:somewhere", "torch", "vae"),
        ("ensemble:bundled+taef1", "torch", "torch"),
    ],
)
def test_missing_package_names_its_install_command(
    name: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, package)
    for check in (load_encoder, require_encoder):
        with pytest.raises(MissingDependency) as caught:
            check(name)
        assert caught.value.package == package
        assert f"pip install 'artscraper-gateway[{extra}]'" in str(caught.value)


def test_only_bundled_encoder_works_without_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taef2_encoder.pth").touch()
    hide(monkeypatch, "torch")
    assert standby_encoders("", tmp_path) == ("bundled",)


def hide(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Make a package look as if it were not installed."""

    def found(name: str) -> object:
        return None if name == package else find_spec(name)

    monkeypatch.setattr(models, "find_spec", found)


@pytest.mark.parametrize("name", [name for name in encoder_names() if name != "bundled"])
def test_missing_weights_name_searched_folders(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match=f"{name}_encoder.safetensors") as caught:
        load_encoder(name, EncoderOptions(models_dir=tmp_path))
    assert caught.value.searched == (tmp_path / name, tmp_path)
    assert caught.value.setting == "models_dir"
    with pytest.raises(MissingModel, match="no folder"):
        load_encoder(name)


def test_public_error_names_files_and_settings_but_no_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingModel) as caught:
        load_encoder("taef2", EncoderOptions(models_dir=tmp_path))
    public = caught.value.public
    assert public.startswith("expected taef2_encoder.safetensors or taef2_encoder.pth")
    assert "setting models_dir" in public and "allow_downloads" in public
    assert str(tmp_path) not in public


@pytest.mark.parametrize("name", CONTRACT)
def test_encoders_are_finite_at_any_size(name: str, random_models: Path) -> None:
    encoder = load_encoder(name, EncoderOptions(models_dir=random_models))
    assert encoder.name == name
    for size in [(1, 1), (5, 33), (64, 40)]:
        pictures = np.random.default_rng(0).random((2, 3, *size), np.float32)
        latents = encoder.latents(pictures)
        assert latents.dtype == np.float32 and latents.ndim == 2 and len(latents) == 2
        assert np.isfinite(latents).all()
        zero = np.zeros_like(latents[:1])
        objective = QuadraticObjective(zero, 1.0, zero)
        value, gradient = encoder.value_and_gradient(pictures[:1], objective)
        assert value == pytest.approx(float(np.square(latents[0]).sum()), rel=0.05)
        assert gradient.dtype == np.float32 and gradient.shape == (1, 3, *size)
        assert np.isfinite(gradient).all() and np.abs(gradient).sum() > 0


@pytest.mark.parametrize("name", [name for name in CONTRACT if name != "bundled"])
def test_bfloat16_changes_latents_by_less_than_three_percent(
    name: str, random_models: Path
) -> None:
    picture = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    exact = load_encoder(name, EncoderOptions(models_dir=random_models, bfloat16=False)).latents(
        picture
    )
    rounded = load_encoder(name, EncoderOptions(models_dir=random_models, bfloat16=True)).latents(
        picture
    )
    assert np.linalg.norm(rounded - exact) < 0.03 * np.linalg.norm(exact)
