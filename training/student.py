"""The bundled encoder's network in torch, to be trained; what ships is its graph files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class StudentShape:
    """Widths (channels) and depths (residual blocks) of the student's stages."""

    half_width: int = 0  # channels of the branch at 1/2 of the picture's size; 0: no branch
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
            inner = inner + self.whole(inner.mean(dim=(2, 3), keepdim=True))
        change: torch.Tensor = self.second(functional.silu(inner))
        return x + change


class HalfBranch(nn.Module):
    """Three convolutions from 1/2 of the size to 1/4, for what the teacher sees of fine detail.

    Starts at zero, so that it can be added to a student that was trained without it.
    """

    def __init__(self, width: int, quarter: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3 * 2 * 2, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.down = nn.Conv2d(width, quarter, 4, stride=2, padding=1)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)  # type: ignore[arg-type]

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        """Map cells of 2x2 px (N, 12, h, w) to features (N, quarter, h/2, w/2)."""
        inner = self.second(functional.silu(self.first(cells)))
        features: torch.Tensor = self.down(functional.silu(inner))
        return features


class StudentNetwork(nn.Module):
    """Maps sRGB (N, 3, H, W) in [0, 1], H and W multiples of 8, to latents (N, C, H/8, W/8)."""

    def __init__(self, shape: StudentShape) -> None:
        super().__init__()
        quarter, eighth = shape.quarter_width, shape.eighth_width
        self.half_branch = HalfBranch(shape.half_width, quarter) if shape.half_width else None
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
        """Return the latent mean of every picture."""
        return self.stages(pictures)[-1]

    def stages(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the features at 1/4 and at 1/8 of the size, and the latents."""
        centred = pictures * 4 - 2
        features = self.stem(functional.pixel_unshuffle(centred, 4))
        if self.half_branch is not None:
            features = features + self.half_branch(functional.pixel_unshuffle(centred, 2))
        quarter = self.quarter_stage(features)
        eighth = self.eighth_stage(self.down(quarter))
        return quarter, eighth, self.head(functional.silu(eighth))


def shape_of(state: Mapping[str, torch.Tensor]) -> StudentShape:
    """Return the widths and depths that a state dict was made with.

    Raises:
        KeyError: the state dict belongs to another network.
    """
    blocks = {key.split(".")[1] for key in state if key.startswith("quarter_stage.")}
    half = state.get("half_branch.first.weight")
    return StudentShape(
        half_width=0 if half is None else len(half),
        quarter_width=len(state["stem.weight"]),
        eighth_width=len(state["down.weight"]),
        blocks=len(blocks),
        latent_channels=len(state["head.bias"]),
    )
