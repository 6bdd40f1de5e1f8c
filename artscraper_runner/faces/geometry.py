"""The square that a face recogniser looks at: where it lies in a picture, and how it is cut out.

dlib turns, shifts and scales a picture so that five landmarks come to lie where they do in its
mean face, and looks at 150x150 px of it. Here the same cut is a differentiable sampling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from artscraper_runner.faces.network import CHIP_SIDE

_PADDING = 0.25  # of the face's size on each side; face_recognition and dlib's examples use it
# Corners of the right and of the left eye, outer then inner, and the base of the nose, in dlib's
# mean face (`get_face_chip_details`), as x, y in 0..1.
_MEAN_FACE = np.array(
    [
        (0.8595674595992, 0.2134981538014),
        (0.6460604764104, 0.2289674387677),
        (0.1205750620789, 0.2137274526848),
        (0.3340850613712, 0.2290642403242),
        (0.4901123135679, 0.6277975316475),
    ]
)

_BINOMIAL = tuple(weight / 16 for weight in (1, 4, 6, 4, 1))
_PYRAMID_SHIFT = (-0.25, 0.25)  # px, x and y


@dataclass(frozen=True)
class Alignment:
    """A square in a picture: `centre` (x, y) and `side` in px, turned by `angle` radians.

    Coordinates are of pixel centres. It may reach over the picture's border.
    """

    centre: tuple[float, float]
    side: float
    angle: float

    @classmethod
    def of_landmarks(cls, landmarks: NDArray[np.float64]) -> Alignment:
        """Returns dlib's square for its five landmarks, (5, 2) of x, y in px.

        The similarity transform with the least squared error: as complex numbers, a line.
        """
        chip = (_PADDING + _MEAN_FACE) / (2 * _PADDING + 1) * CHIP_SIDE
        x, y = (points[:, 0] + 1j * points[:, 1] for points in (chip, landmarks))
        deviation = x - x.mean()
        turn = np.vdot(deviation, y - y.mean()) / np.vdot(deviation, deviation)
        centre = y.mean() + turn * (complex(CHIP_SIDE // 2, CHIP_SIDE // 2) - x.mean())
        side = CHIP_SIDE * abs(turn)
        return cls((centre.real, centre.imag), float(side), float(np.angle(turn)))

    def moved(
        self, *, across: float = 0, down: float = 0, by: float = 1, turn: float = 0
    ) -> Alignment:
        """Returns it shifted by shares of its side, `by` times as large, turned by radians."""
        x, y = self.centre
        centre = (x + across * self.side, y + down * self.side)
        return replace(self, centre=centre, side=self.side * by, angle=self.angle + turn)

    def seen_at(
        self, scale_x: float, scale_y: float, *, left: float = 0, top: float = 0
    ) -> Alignment:
        """Returns it in a copy of the picture cut off at `left` and `top` and then scaled."""
        x = (self.centre[0] + 0.5 - left) * scale_x - 0.5
        y = (self.centre[1] + 0.5 - top) * scale_y - 0.5
        return replace(self, centre=(x, y), side=self.side * math.sqrt(scale_x * scale_y))

    def corners(self, grown: float = 1.0) -> NDArray[np.float64]:
        """Returns the corners (4, 2) of the square made `grown` times as large."""
        half = self.side * grown / 2
        turn = complex(math.cos(self.angle), math.sin(self.angle)) * half
        offsets = np.array([turn * complex(x, y) for y in (-1, 1) for x in (-1, 1)])
        return np.stack([offsets.real, offsets.imag], 1) + self.centre


def chip(picture: torch.Tensor, alignment: Alignment) -> torch.Tensor:
    """Returns the aligned face (1, 3, 150, 150) of float32 (1, 3, H, W), by bilinear sampling.

    What lies outside the picture is black, as in dlib. Where the square is twice as large as the
    chip or more, the picture is halved first. All is done as in dlib, but for its rounding of
    intermediate pictures to 8 bits.
    """
    while (alignment.side + 1) / 2 > CHIP_SIDE:
        picture = _halved(picture)
        x, y = alignment.centre
        # A pixel's centre is at half of where it was; dlib takes another place (`pyramid_down`).
        centre = (x / 2 + _PYRAMID_SHIFT[0], y / 2 + _PYRAMID_SHIFT[1])
        alignment = replace(alignment, centre=centre, side=(alignment.side + 1) / 2)
    height, width = picture.shape[-2:]
    grid = _positions(alignment, picture)
    scale = picture.new_tensor([2 / max(1, width - 1), 2 / max(1, height - 1)])
    return functional.grid_sample(
        picture, grid * scale - 1, mode="bilinear", padding_mode="zeros", align_corners=True
    )


def _halved(picture: torch.Tensor) -> torch.Tensor:
    """Every second pixel in both directions, each a binomial mean of 5x5."""
    channels = picture.shape[1]
    taps = picture.new_tensor(_BINOMIAL)
    kernel = torch.outer(taps, taps).expand(channels, 1, -1, -1)
    return functional.conv2d(picture, kernel, stride=2, padding=2, groups=channels)


def _positions(alignment: Alignment, like: torch.Tensor) -> torch.Tensor:
    """Where each of the chip's pixels lies, (1, 150, 150, 2) of x, y in px."""
    # The chip's first and last pixels lie on the square's first and last pixels.
    steps = torch.linspace(-0.5, 0.5, CHIP_SIDE, device=like.device, dtype=like.dtype)
    steps = steps * (alignment.side - 1)
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    cos, sin = math.cos(alignment.angle), math.sin(alignment.angle)
    x = alignment.centre[0] + cos * across - sin * down
    y = alignment.centre[1] + sin * across + cos * down
    return torch.stack([x, y], -1)[None]
