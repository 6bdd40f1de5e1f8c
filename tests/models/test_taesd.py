"""The TAESD family: its files, and that we compute what upstream does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from artscraper_runner.models import load_encoder
from artscraper_runner.models.protocol import EncoderOptions
from artscraper_runner.models.taesd import Block, TaesdNetwork, network_from
from artscraper_runner.models.torch_encoder import read_state
from artscraper_runner.models.weights import UnusableModel


def test_published_weights_load_strictly(shared_models: Path) -> None:
    state = read_state(shared_models / "taef2" / "taef2_encoder.pth")
    network = network_from(state)
    assert set(network.state_dict()) == set(state)
    assert network.latent_channels == 32
    assert [i for i, layer in enumerate(network) if getattr(layer, "pool", None)] == [11, 12, 13]


def test_family_agrees_with_diffusers() -> None:
    diffusers = pytest.importorskip("diffusers", reason="the reference is diffusers' encoder")
    torch.manual_seed(0)
    reference = diffusers.AutoencoderTiny(latent_channels=16)
    state = {f"encoder.{k}": v for k, v in reference.encoder.state_dict().items()}
    ours = network_from({k.removeprefix("encoder.layers."): v for k, v in state.items()})
    pictures = torch.rand(2, 3, 48, 32)
    with torch.no_grad():
        theirs = reference.encoder(pictures * 2 - 1)
        assert torch.allclose(ours(pictures), theirs, atol=1e-5)


def test_teacher_decodes_latents(painting: np.ndarray, shared_models: Path) -> None:
    """A single wrong layer makes the picture unrecognisable; the decoder is upstream's."""
    layers: list[nn.Module] = [nn.Identity(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU()]
    for group in range(3):
        layers.extend(Block(pooled=group == 0) for _ in range(3))
        layers.append(nn.Upsample(scale_factor=2))
        layers.append(nn.Conv2d(64, 64, 3, padding=1, bias=False))
    layers.extend([Block(pooled=False), nn.Conv2d(64, 3, 3, padding=1)])
    decoder = nn.Sequential(*layers)
    state = read_state(shared_models / "taef2" / "taef2_decoder.pth")
    decoder.load_state_dict({key: value.float() for key, value in state.items()})
    encoder = load_encoder("taef2", EncoderOptions(models_dir=shared_models, bfloat16=False))
    latents = torch.from_numpy(encoder.latents(painting)).view(1, 32, 32, 32)
    with torch.no_grad():
        error = decoder(torch.tanh(latents / 3) * 3) - torch.from_numpy(painting)
        error = error.square().mean()
    assert -10 * error.log10() > 24  # dB of PSNR


@pytest.mark.parametrize("prefix", ["", "encoder.", "encoder.layers."])
@pytest.mark.parametrize("path", ["taesd_encoder.safetensors", "taesd/taesd.safetensors"])
def test_files_are_found_by_either_name_and_prefix(prefix: str, path: str, tmp_path: Path) -> None:
    network = TaesdNetwork(latent_channels=4, pooled=False)
    state = {prefix + key: value for key, value in network.state_dict().items()}
    if prefix:
        state["decoder.1.weight"] = torch.zeros(1)
    (tmp_path / path).parent.mkdir(exist_ok=True)
    save_file(state, tmp_path / path)
    picture = torch.rand(1, 3, 16, 16)
    encoder = load_encoder("taesd", EncoderOptions(models_dir=tmp_path, bfloat16=False))
    expected = network(picture).detach().numpy().reshape(1, -1)
    assert np.allclose(encoder.latents(picture.numpy()), expected, atol=1e-6)


@pytest.mark.parametrize("change", ["missing", "more", "shape", "empty"])
def test_mismatched_weights_are_refused(change: str, tmp_path: Path) -> None:
    state = TaesdNetwork(latent_channels=4, pooled=False).state_dict()
    if change == "missing":
        del state["3.conv.2.bias"]
    elif change == "more":
        state["3.conv.9.bias"] = torch.zeros(64)
    elif change == "shape":
        state["0.weight"] = torch.zeros(64, 3, 1, 1)
    else:
        state.clear()
    torch.save(state, tmp_path / "taesd.pth")
    with pytest.raises(UnusableModel, match="expected a TAESD encoder") as caught:
        load_encoder("taesd", EncoderOptions(models_dir=tmp_path))
    assert caught.value.path == tmp_path / "taesd.pth"


@pytest.mark.parametrize("content", [b"", b"damaged"])
@pytest.mark.parametrize("name", ["taesd.pth", "taesd.safetensors"])
def test_damaged_files_are_refused(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnusableModel, match="expected tensors"):
        load_encoder("taesd", EncoderOptions(models_dir=tmp_path))


def test_pickle_with_code_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Conv2d(1, 1, 1), tmp_path / "taesd.pth")
    with pytest.raises(UnusableModel, match="expected tensors"):
        load_encoder("taesd", EncoderOptions(models_dir=tmp_path))


def test_file_of_another_member_is_refused(tmp_path: Path) -> None:
    network = TaesdNetwork(latent_channels=32, pooled=True)
    torch.save(network.state_dict(), tmp_path / "taesd_encoder.pth")
    with pytest.raises(UnusableModel, match=r"expected the 4 latent channels of taesd; found 32"):
        load_encoder("taesd", EncoderOptions(models_dir=tmp_path))
