"""The interface of every model: latents of pictures, and gradients of their distances.

Pictures are float32 (N, 3, H, W) sRGB in [0, 1], of any size from 1x1; latents are float32 (N, D),
flat.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class QuadraticObjective:
    """Any weighted sum of squared distances of a latent to fixed ones.

    With m = latent - `reference`, both (1, D), its value is the sum of
    m * (`spread` * m + `pull`), plus `offset`.
    """

    reference: Array
    spread: float
    pull: Array
    offset: float = 0.0

    def value(self, latent: Array) -> float:
        """Return the objective of a latent (1, D)."""
        way = latent - self.reference
        return float((way * (np.float32(self.spread) * way + self.pull)).sum()) + self.offset


class Encoder(Protocol):
    """A frozen map from pictures to latents.

    Attributes:
        name: the name it was loaded by.
        stride: pixels per latent cell in each direction.
    """

    name: str
    stride: int

    def latents(self, pictures: Array) -> Array:
        """Return latents (N, D) of pictures (N, 3, H, W); D depends on H and W."""

    def value_and_gradient(
        self, picture: Array, objective: QuadraticObjective
    ) -> tuple[float, Array]:
        """Return the objective of a picture (1, 3, H, W) and its gradient, like the picture.

        Raises:
            MemoryError: the device has too little memory.
        """


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """Options for loading an encoder; passed on unchanged by encoders that load others."""

    models_dir: Path | None = None  # weights of encoder X are in it or in its folder X
    allow_downloads: bool = False  # fetch missing weights whose digest is pinned into `models_dir`
    accelerator: str = "auto"  # see `accelerators`
    bfloat16: bool | None = None  # of models that torch computes; None: where that is native
