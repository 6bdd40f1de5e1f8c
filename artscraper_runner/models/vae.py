"""The full autoencoders of image models, through diffusers: ``vae:<path or hub id>``.

A path is a folder in diffusers' layout (config.json and .safetensors), or one of a whole model
with such a folder ``vae`` in it. A hub id ``owner/name`` is looked up under ``models_dir``;
with downloads allowed, ``owner/name@revision`` fetches that commit, of 40 hex digits.
Only .safetensors files are read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import nn

from artscraper_runner.errors import MissingModel
from artscraper_runner.models.download import DownloadFailed, how_to_download
from artscraper_runner.models.protocol import EncoderOptions
from artscraper_runner.models.torch_encoder import TorchEncoder
from artscraper_runner.models.weights import UnusableModel, check_finite, folders_of

CONFIG = "config.json"
READER: Any = AutoencoderKL  # its constructors carry no types
# Without the second diffusers advises, at each load, to install a package that it needs not.
READING = {"use_safetensors": True, "low_cpu_mem_usage": False}
COMMIT = re.compile(r"[0-9a-f]{40}")


class LatentMean(nn.Module):
    """The encoder half of an AutoencoderKL: sRGB in [0, 1] to the latent mean, unscaled."""

    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        self.encoder, self.quant_conv = autoencoder.encoder, autoencoder.quant_conv

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return means (N, C, h, w) of the latent distributions."""
        moments: torch.Tensor = self.encoder(pictures * 2 - 1)
        if self.quant_conv is not None:
            moments = self.quant_conv(moments)
        return moments.chunk(2, dim=1)[0]


def load(source: str, options: EncoderOptions) -> TorchEncoder:
    """Return the encoder of an AutoencoderKL; raises as `load_encoder`."""
    folder = _folder_of(source, options)
    autoencoder = _read(folder) if folder is not None else _fetch(source, options)
    return TorchEncoder(
        LatentMean(autoencoder),
        name=f"vae:{source}",
        latent_channels=autoencoder.config.latent_channels,
        stride=2 ** (len(autoencoder.config.block_out_channels) - 1),
        options=options,
    )


def _folder_of(source: str, options: EncoderOptions) -> Path | None:
    """Return the folder that holds the model; None when it is to be downloaded."""
    identifier = source.partition("@")[0]
    searched = (Path(identifier), *folders_of(identifier, options.models_dir)[:1])
    for folder in searched:
        for candidate in (folder, folder / "vae"):
            if (candidate / CONFIG).is_file():
                return candidate
    fetched = _fetched_before(source, options)
    if fetched is not None:
        return fetched
    if options.allow_downloads and options.models_dir is not None:
        return None
    remedy = (
        "name a model's folder in diffusers' layout as vae:<path> (encoder, --encoder), put one"
        " into models_dir (--models-dir) as owner/name for vae:owner/name, or have"
        f" vae:owner/name@revision fetched: {how_to_download(options)}"
    )
    expected = f"{CONFIG} of an AutoencoderKL"
    raise MissingModel(expected, searched=searched, setting="encoder", remedy=remedy)


def _fetched_before(source: str, options: EncoderOptions) -> Path | None:
    """Return where the hub's client has put a commit in ``models_dir``, if it has it whole."""
    identifier, _, revision = source.partition("@")
    if options.models_dir is None or not COMMIT.fullmatch(revision):
        return None
    cache = options.models_dir / f"models--{identifier.replace('/', '--')}"
    folder = cache / "snapshots" / revision
    is_whole = (folder / CONFIG).is_file() and any(folder.glob("*.safetensors"))
    return folder if is_whole else None


def _read(folder: Path) -> Any:
    try:
        autoencoder = READER.from_pretrained(folder, local_files_only=True, **READING)
    except Exception as exc:  # diffusers raises many kinds for a damaged or a foreign folder
        raise UnusableModel(folder, "expected an AutoencoderKL", detail=str(exc)) from exc
    check_finite(folder, (p.detach().float().numpy() for p in autoencoder.parameters()))
    return autoencoder


def _fetch(source: str, options: EncoderOptions) -> Any:
    identifier, _, revision = source.partition("@")
    if not COMMIT.fullmatch(revision):
        raise DownloadFailed(
            Path(source) if Path(source).is_absolute() else source,
            "expected owner/name@revision with the 40 hex digits of a commit",
        )
    try:
        return READER.from_pretrained(
            identifier, revision=revision, cache_dir=options.models_dir, **READING
        )
    except Exception as exc:  # whatever the hub's client raises
        raise DownloadFailed(source, "the hub did not give it", detail=str(exc)) from exc
