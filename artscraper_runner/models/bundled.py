"""The bundled encoder: a small student of TAEF2 that ships inside the package.

Trained by ``python -m training.distil`` of this repository from random weights to imitate
the latents of TAEF2 (madebyollin/taesd, MIT), itself a student of the FLUX.2 autoencoder.
It is a surrogate: cheap to differentiate, and only approximately what an image model sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from artscraper_runner.errors import MissingModel
from artscraper_runner.models.base import Encoder
from artscraper_runner.models.request import LoadRequest
from artscraper_runner.models.weights import UnusableModel, read_state

STRIDE = 8  # pixels per latent cell
WEIGHTS = Path(__file__).with_name("bundled.safetensors")  # float16


@dataclass(frozen=True, kw_only=True)
class StudentShape:
    """Widths (channels) and depths (residual blocks) of the student's two stages."""

    quarter_width: int = 64  # channels at 1/4 of the picture's size
    eighth_width: int = 128  # channels at 1/8
    blocks: int = 3  # residual blocks in each stage
    latent_channels: int = 32  # TAEF2's


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions added to the input; starts as the identity.

    With ``sees_whole`` the mean over the picture joins in between, since the teacher
    normalises by statistics of the whole picture.
    """

    def __init__(self, width: int, *, sees_whole: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.whole = nn.Conv2d(width, width, 1) if sees_whole else None
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Transform a feature map (N, width, h, w) into one of the same shape."""
        inner: torch.Tensor = self.first(functional.silu(x))
        if self.whole is not None:
            inner = inner + _whole(self.whole, inner)
        change: torch.Tensor = self.second(functional.silu(inner))
        return x + change


def _whole(layer: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """What the 1x1 convolution `layer` makes of the mean over each map, to be added to the maps.

    In float32 a product of matrices: the backward pass of oneDNN's convolution of a single cell
    adds in an order that changes from run to run. In bfloat16 it does not.
    """
    if x.dtype != torch.float32:
        answer: torch.Tensor = layer(x.mean(dim=(2, 3), keepdim=True))
        return answer
    cells = functional.linear(x.mean(dim=(2, 3)), layer.weight.flatten(1), layer.bias)
    return cells[..., None, None]


class StudentNetwork(nn.Module):
    """Maps sRGB (N, 3, H, W) in [0, 1], H and W multiples of 8, to latents (N, C, H/8, W/8)."""

    def __init__(self, shape: StudentShape) -> None:
        super().__init__()
        quarter, eighth = shape.quarter_width, shape.eighth_width
        self.stem = nn.Conv2d(3 * 4 * 4, quarter, 3, padding=1)
        self.quarter_stage = nn.Sequential(
            *(ResidualBlock(quarter, sees_whole=False) for _ in range(shape.blocks))
        )
        self.down = nn.Conv2d(quarter, eighth, 4, stride=2, padding=1)
        self.eighth_stage = nn.Sequential(
            *(ResidualBlock(eighth, sees_whole=True) for _ in range(shape.blocks))
        )
        self.head = nn.Conv2d(eighth, shape.latent_channels, 3, padding=1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Answer the latent mean of every picture."""
        return self.stages(pictures)[-1]

    def stages(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Answer the features at 1/4 and at 1/8 of the size, and the latents."""
        cells = functional.pixel_unshuffle(pictures * 4 - 2, 4)
        quarter = self.quarter_stage(self.stem(cells))
        eighth = self.eighth_stage(self.down(quarter))
        return quarter, eighth, self.head(functional.silu(eighth))


def shape_of(state: Mapping[str, torch.Tensor]) -> StudentShape:
    """Answer the widths and depths that a state dict was made with.

    Raises:
        KeyError: the state dict belongs to another network.
    """
    blocks = {key.split(".")[1] for key in state if key.startswith("quarter_stage.")}
    return StudentShape(
        quarter_width=len(state["stem.weight"]),
        eighth_width=len(state["down.weight"]),
        blocks=len(blocks),
        latent_channels=len(state["head.bias"]),
    )


def load(name: str, request: LoadRequest) -> Encoder:
    """Answer the encoder that ships in the package.

    Raises:
        MissingModel: the package was installed without its weights.
        UnusableModel: the file is not the student's.
    """
    if not WEIGHTS.is_file():
        raise MissingModel(
            WEIGHTS.name,
            searched=(WEIGHTS.parent,),
            setting=None,
            remedy="install the package again, or make the file anew with "
            "`python -m training.distil` and `python -m training.export`",
        )
    state = {key: value.float() for key, value in read_state(WEIGHTS).items()}
    try:
        shape = shape_of(state)
        network = StudentNetwork(shape)
        network.load_state_dict(state)
    except (KeyError, RuntimeError) as exc:
        raise UnusableModel(WEIGHTS, f"expected the student's weights: {exc}") from exc
    return Encoder(
        network, name=name, latent_channels=shape.latent_channels, stride=STRIDE, request=request
    )
