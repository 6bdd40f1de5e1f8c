"""The part of a picture around a face, at the size at which a recogniser sees its detail."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from artscraper_runner.faces.geometry import Alignment
from artscraper_runner.faces.network import CHIP_SIDE

Pixels = NDArray[np.uint8]
_GROWN = 1.1  # of the recogniser's square: room for what it sees when landmarks move
_GRID = 16  # px; regions begin where JPEG's blocks do, so that it treats both alike
_SOFT_EDGE = 0.1  # of the square's side: how far a change takes to fade away
_BAND_ROWS = 256  # of the picture, converted at once: as floats a large one takes gigabytes


@dataclass(frozen=True)
class FaceRegion:
    """`rows` and `columns` of the picture, seen `shrunk` times smaller, a power of two.

    `alignment` is the recogniser's square in that smaller view.
    """

    rows: slice
    columns: slice
    shrunk: int
    alignment: Alignment

    @classmethod
    def around(cls, alignment: Alignment, size: tuple[int, int]) -> FaceRegion | None:
        """Returns the region for a square in a picture of `size` (height, width).

        None where the square lies outside the picture.
        """
        shrunk = 1
        while alignment.side / shrunk >= 2 * CHIP_SIDE:
            shrunk *= 2
        corners = alignment.corners(_GROWN)
        grid = max(_GRID, shrunk)
        left, top = np.maximum(0, np.floor(corners.min(0) / grid).astype(int) * grid)
        right, bottom = np.minimum(size[::-1], np.ceil(corners.max(0)).astype(int) + 1)
        width, height = (int(right - left) // shrunk, int(bottom - top) // shrunk)
        if width < 1 or height < 1:
            return None
        return cls(
            slice(int(top), int(top) + height * shrunk),
            slice(int(left), int(left) + width * shrunk),
            shrunk,
            alignment.seen_at(1 / shrunk, 1 / shrunk, left=float(left), top=float(top)),
        )

    def cut(self, pixels: Pixels) -> Pixels:
        """Returns the region of uint8 (H, W, 3) or (H, W), at full size."""
        return pixels[self.rows, self.columns]

    def seen(self, pixels: Pixels) -> torch.Tensor:
        """Returns the region of uint8 (H, W, 3) as float32 (1, 3, h, w) in [0, 1], shrunk."""
        return shrunk_view(self.cut(pixels), self.shrunk)

    def as_halved(self, seen: torch.Tensor) -> torch.Tensor:
        """Returns a view (1, 3, h, w) of the region as sharp as dlib sees the whole picture.

        dlib halves a large face by binomial means, whose variance is 1 px^2 at each size: down to
        this view, (1 - 1 / shrunk^2) / 3 px^2 of its own. The averages that made it blur less.
        """
        if self.shrunk == 1:
            return seen
        side = (1 - self.shrunk**-2) / 6
        taps = seen.new_tensor([side, 1 - 2 * side, side])
        kernel = torch.outer(taps, taps).expand(seen.shape[1], 1, -1, -1)
        padded = functional.pad(seen, (1,) * 4, mode="replicate")
        return functional.conv2d(padded, kernel, groups=seen.shape[1])

    def soft_edge(self) -> torch.Tensor:
        """Returns float32 (1, 1, h, w): 1 inside the square, 0 at its border and outside."""
        across, down = self._chip_positions()
        inside = (0.5 - torch.maximum(across.abs(), down.abs())) / _SOFT_EDGE
        inside = inside.clamp(0, 1)
        return (inside * inside * (3 - 2 * inside))[None, None]

    def from_chip(self, change: torch.Tensor) -> torch.Tensor:
        """Returns a change of the aligned face (1, 3, 150, 150) where it lies in the region."""
        grid = torch.stack(self._chip_positions(), -1)[None] * 2
        return functional.grid_sample(change, grid, align_corners=True, padding_mode="border")

    def _chip_positions(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Where each pixel (h, w) lies in the square: -0.5..0.5 across and down."""
        height = (self.rows.stop - self.rows.start) // self.shrunk
        width = (self.columns.stop - self.columns.start) // self.shrunk
        y, x = torch.meshgrid(
            torch.arange(height, dtype=torch.float32),
            torch.arange(width, dtype=torch.float32),
            indexing="ij",
        )
        x, y = x - self.alignment.centre[0], y - self.alignment.centre[1]
        cos, sin = math.cos(self.alignment.angle), math.sin(self.alignment.angle)
        side = max(1.0, self.alignment.side - 1)
        return (cos * x + sin * y) / side, (cos * y - sin * x) / side


def shrunk_view(pixels: Pixels, shrunk: int) -> torch.Tensor:
    """Returns uint8 (H, W, 3) as float32 (1, 3, H // shrunk, W // shrunk) in [0, 1], by averaging.

    `shrunk` is a power of two, 1 for the same size; rows and columns left over are dropped.
    """
    height, width = (side // shrunk * shrunk for side in pixels.shape[:2])
    bands = []
    for top in range(0, height, max(_BAND_ROWS, shrunk)):
        rows = pixels[top : min(top + max(_BAND_ROWS, shrunk), height), :width]
        band = torch.from_numpy(np.ascontiguousarray(rows)).permute(2, 0, 1)[None].float() / 255
        bands.append(functional.avg_pool2d(band, shrunk) if shrunk > 1 else band)
    return torch.cat(bands, dim=2)
