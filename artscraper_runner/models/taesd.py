"""The TAESD family: tiny encoders distilled from the autoencoders of image models.

| name | of the autoencoder of | latent channels |
|---|---|---|
| taesd | Stable Diffusion 1 and 2 | 4 |
| taesdxl | SDXL | 4 |
| taesd3 | Stable Diffusion 3 | 16 |
| taef1 | FLUX.1 | 16 |
| taef2 | FLUX.2 | 32 |

Architecture of madebyollin/taesd (MIT), reimplemented; parameters have upstream's names
so that its state dicts load strictly. Weights are looked up as ``<name>_encoder`` or ``<name>``,
.safetensors or .pth, in ``models_dir/<name>`` and ``models_dir``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from artscraper_runner.errors import MissingModel
from artscraper_runner.models.download import PublishedFile, download, how_to_download
from artscraper_runner.models.protocol import EncoderOptions
from artscraper_runner.models.torch_encoder import TorchEncoder, read_state
from artscraper_runner.models.weights import (
    UnusableModel,
    folders_of,
    published_file,
    published_names,
)

STRIDE = 8  # pixels per latent cell
WIDTH = 64  # channels of every inner layer
POOL_WIDTH = 256  # channels of the normalised branch
REPOSITORY, REVISION = "madebyollin/taesd", "5cccb12dc72074a4be35680c3b108548a7c69978"
SHA256 = {  # of <name>_encoder.pth there
    # taef2's was computed from the file; the others are what independent projects pin.
    "taesd": "15bc6128f0ac51c673d3427216082ebfa62402ffc89763af74edfe259b32d49d",
    "taesdxl": "a5648de089aba6b641e505c0f132b2dc7ff70ab6070c31be5e624e807e711c5e",
    "taesd3": "b8fefa64b92a867df673c7f22fb2cbc6ae144070e22e7a0b3af0f21de2f43f92",
    "taef1": "1d1ad34546aea0edd99dc2db9411d870319f428ced5065c6464582c17c070536",
    "taef2": "10a4e1021e89d7551eaf161352da8dbd0b1aa83872ae28b150c1df1ce2f147b6",
}
LATENT_CHANNELS = {"taesd": 4, "taesdxl": 4, "taesd3": 16, "taef1": 16, "taef2": 32}
PREFIXES = ("encoder.layers.", "encoder.")  # of an encoder's keys in a file with its decoder


class Block(nn.Module):
    """Three 3x3 convolutions with a skip; optionally preceded by a GroupNorm branch."""

    def __init__(self, *, pooled: bool) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
        )
        self.pool = _normalised_branch() if pooled else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Transform a feature map (N, 64, h, w) into one of the same shape."""
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + x)


def _normalised_branch() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(WIDTH, POOL_WIDTH, 1, bias=False),
        nn.GroupNorm(4, POOL_WIDTH),
        nn.ReLU(),
        nn.Conv2d(POOL_WIDTH, WIDTH, 1, bias=False),
    )


class TaesdNetwork(nn.Sequential):
    """Maps sRGB (N, 3, H, W) in [0, 1], H and W multiples of 8, to latents (N, C, H/8, W/8)."""

    def __init__(self, *, latent_channels: int, pooled: bool) -> None:
        layers: list[nn.Module] = [nn.Conv2d(3, WIDTH, 3, padding=1), Block(pooled=False)]
        for group in range(3):
            layers.append(nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1, bias=False))
            layers.extend(Block(pooled=pooled and group == 2) for _ in range(3))
        layers.append(nn.Conv2d(WIDTH, latent_channels, 3, padding=1))
        super().__init__(*layers)
        self.latent_channels = latent_channels


def network_from(state: Mapping[str, torch.Tensor]) -> TaesdNetwork:
    """Return the network that a state dict describes, with its weights as float32.

    The number of latent channels is the last bias' length; the GroupNorm branch is there
    when the state dict has ``pool`` keys.

    Raises:
        RuntimeError: a key is missing, unexpected or of another shape.
    """
    last = max(int(key.split(".")[0]) for key in state)
    network = TaesdNetwork(
        latent_channels=len(state[f"{last}.bias"]), pooled=any(".pool." in key for key in state)
    )
    network.load_state_dict({key: value.float() for key, value in state.items()})
    return network


def published(name: str) -> PublishedFile:
    """Return where the weights of a family member are published."""
    return PublishedFile(f"{REPOSITORY}/{REVISION}/{name}_encoder.pth", SHA256[name])


def load(name: str, options: EncoderOptions) -> TorchEncoder:
    """Return a member of the family from its file, fetched first when that is allowed.

    Raises as `load_encoder`.
    """
    path = _file_of(name, options)
    state = _encoder_part(read_state(path))
    try:
        network = network_from(state)
    except (KeyError, ValueError, RuntimeError) as exc:
        raise UnusableModel(path, f"expected a TAESD encoder: {exc}") from exc
    expected, found = LATENT_CHANNELS[name], network.latent_channels
    if found != expected:
        raise UnusableModel(
            path, f"expected the {expected} latent channels of {name}; found {found}"
        )
    return TorchEncoder(network, name=name, latent_channels=found, stride=STRIDE, options=options)


def _file_of(name: str, options: EncoderOptions) -> Path:
    path = published_file(name, options.models_dir)
    if path is not None:
        return path
    names, folders = published_names(name), folders_of(name, options.models_dir)
    if options.allow_downloads and options.models_dir is not None:
        return download(published(name), folders[0])
    remedy = (
        f"put {names[1]} from https://github.com/{REPOSITORY} there (models_dir, --models-dir),"
        f" or have it fetched: {how_to_download(options)}"
    )
    raise MissingModel(" or ".join(names), searched=folders, setting="models_dir", remedy=remedy)


def _encoder_part(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for prefix in PREFIXES:
        part = {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}
        if part:
            return part
    return dict(state)
