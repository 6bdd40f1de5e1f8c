"""Full autoencoders through diffusers, on a tiny random one."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from artscraper_runner.errors import MissingModel
from artscraper_runner.models import load_encoder
from artscraper_runner.models.download import DownloadFailed
from artscraper_runner.models.protocol import EncoderOptions
from artscraper_runner.models.weights import UnusableModel


@pytest.fixture(autouse=True)
def diffusers() -> Any:
    """The package, imported where it is used: that takes a second of each collecting worker."""
    return pytest.importorskip("diffusers", reason="needs the optional extra `vae`: diffusers")


@pytest.fixture
def autoencoder(diffusers: Any) -> Any:
    torch.manual_seed(0)
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=6,
        layers_per_block=1,
        norm_num_groups=4,
    ).eval()


@pytest.mark.parametrize("inside", ["", "vae"])
def test_vae_returns_the_posterior_mean(autoencoder: Any, inside: str, tmp_path: Path) -> None:
    autoencoder.save_pretrained(tmp_path / inside)
    encoder = load_encoder(f"vae:{tmp_path}", EncoderOptions(bfloat16=False))
    assert (encoder.latent_channels, encoder.stride) == (6, 4)
    pictures = torch.rand(2, 3, 32, 24)
    with torch.no_grad():
        theirs = autoencoder.encode(pictures * 2 - 1).latent_dist.mean
    ours = encoder.latents(pictures.numpy())
    assert np.allclose(ours, theirs.numpy().reshape(2, -1), atol=1e-4)


def test_hub_id_is_resolved_in_models_dir(autoencoder: Any, tmp_path: Path) -> None:
    autoencoder.save_pretrained(tmp_path / "owner" / "name")
    encoder = load_encoder("vae:owner/name", EncoderOptions(models_dir=tmp_path))
    assert encoder.latents(np.ones((1, 3, 17, 5), np.float32)).shape == (1, 6 * 5 * 2)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match=r"config\.json of an AutoencoderKL") as caught:
        load_encoder("vae:owner/name", EncoderOptions(models_dir=tmp_path))
    assert caught.value.searched == (Path("owner/name"), tmp_path / "owner/name")


def test_public_error_names_the_setting_and_no_path(tmp_path: Path) -> None:
    with pytest.raises(MissingModel) as caught:
        load_encoder(f"vae:{tmp_path}", EncoderOptions(models_dir=tmp_path))
    assert "setting encoder" in caught.value.public and "allow_downloads" in caught.value.public
    assert str(tmp_path) not in caught.value.public


def test_folder_of_another_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UnusableModel, match="expected an AutoencoderKL") as caught:
        load_encoder(f"vae:{tmp_path}")
    assert str(tmp_path.parent) not in caught.value.public


@pytest.mark.parametrize("source", ["owner/name", "owner/name@main"])
def test_download_needs_a_commit(source: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="40 hex digits"):
        load_encoder(f"vae:{source}", EncoderOptions(models_dir=tmp_path, allow_downloads=True))


REVISION = "0123456789abcdef0123456789abcdef01234567"


def test_downloaded_weights_are_found_offline(
    autoencoder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the layout of the hub's client, without network."""
    cache = tmp_path / "models--owner--name"
    autoencoder.save_pretrained(cache / "snapshots" / REVISION)
    source = f"vae:owner/name@{REVISION}"
    assert load_encoder(source, EncoderOptions(models_dir=tmp_path)).latent_channels == 6

    def ask(*_: Any, **__: Any) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("artscraper_runner.models.vae._fetch", ask)
    assert (
        load_encoder(source, EncoderOptions(models_dir=tmp_path, allow_downloads=True)).stride == 4
    )
    other = source.replace("0123", "3210")
    with pytest.raises(MissingModel, match=r"config\.json of an AutoencoderKL"):
        load_encoder(other, EncoderOptions(models_dir=tmp_path))


def test_nan_weights_are_refused(autoencoder: Any, tmp_path: Path) -> None:
    broken = copy.deepcopy(autoencoder)
    broken.encoder.conv_in.weight.data[0] = float("nan")
    broken.save_pretrained(tmp_path)
    with pytest.raises(UnusableModel, match="expected finite weights"):
        load_encoder(f"vae:{tmp_path}")
