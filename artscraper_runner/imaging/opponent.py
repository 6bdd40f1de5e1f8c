"""Opponent colours, the XYB space of JPEG XL: whose cube root stands for adaptation to light.

Pictures are float32 (3, H, W) sRGB in [0, 1], or uint8 (H, W, 3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.imaging.tiles import over_bands

Pixels = NDArray[np.uint8]
Planes = NDArray[np.float32]
_TO_CONES = np.array(  # linear sRGB to long, medium and short cones, as in JPEG XL
    [(0.30, 0.622, 0.078), (0.23, 0.692, 0.078), (0.243423, 0.204767, 0.551810)], np.float32
)
_BIAS = np.float32(0.0037930733)
# Cube roots of cones to red-green with a gain, luma and blue-yellow less luma.
_TO_OPPONENT = np.array([(7, -7, 0), (0.5, 0.5, 0), (-0.5, -0.5, 1)], np.float32)
_FROM_CONES, _FROM_OPPONENT = np.linalg.inv(_TO_CONES), np.linalg.inv(_TO_OPPONENT)
LUMA_OF_BLACK = np.cbrt(_BIAS)
_SRGB_STEPS = 255 * 16
_BAND_PIXELS = 24_000  # for the cache, and for products that BLAS does not spread over threads


def _linear_light(steps: int) -> Planes:
    values = np.arange(steps + 1) / steps
    curve = ((values + 0.055) / 1.055) ** 2.4
    return np.where(values <= 0.04045, values / 12.92, curve).astype(np.float32)


_LINEAR, _LINEAR_8_BIT = _linear_light(_SRGB_STEPS), _linear_light(255)


def opponent_colours(
    picture: Planes | Pixels,
    *,
    multiple: int = 1,
    less: Callable[[slice], Planes] | None = None,
) -> Planes:
    """Return XYB with a gain and without its offset, (3, H, W).

    Args:
        picture: of any size.
        multiple: sides are continued to a multiple of it, in px, by the border.
        less: returns rows (3, h, W) of what is subtracted. A difference is continued by 0, since
            a change of one pixel ends at the border.
    """
    rows, columns = size_of(picture)
    planes = np.empty((3, rows + -rows % multiple, columns + -columns % multiple), np.float32)

    def convert(band: slice) -> None:
        own = opponent_rows(picture, band)
        if less is not None:
            own -= less(band)
        planes[:, band, :columns] = own

    over_bands(convert, rows, rows=max(1, _BAND_PIXELS // columns))
    planes[:, :rows, columns:] = planes[:, :rows, columns - 1 : columns] if less is None else 0
    planes[:, rows:] = planes[:, rows - 1 : rows] if less is None else 0
    return planes


def opponent_rows(picture: Planes | Pixels, rows: slice) -> Planes:
    """Return the opponent colours of some rows of a picture, (3, h, W)."""
    light = _light(picture, rows)
    cones = _TO_CONES @ light.reshape(3, -1)
    cones += _BIAS
    np.cbrt(cones, out=cones)
    return np.matmul(_TO_OPPONENT, cones, out=light.reshape(3, -1)).reshape(light.shape)


def _light(picture: Planes | Pixels, rows: slice) -> Planes:
    """Linear light of some rows of a picture, (3, h, W)."""
    if picture.dtype == np.uint8:
        return _LINEAR_8_BIT.take(np.ascontiguousarray(picture[rows].transpose(2, 0, 1)))
    levels = picture[:, rows] * np.float32(_SRGB_STEPS)
    levels += np.float32(0.5)
    return _LINEAR.take(levels.astype(np.int32))


@dataclass(frozen=True)
class OpponentDerivative:
    """The derivative of opponent colours by sRGB in each pixel, as its factors.

    `light` and `cones`, (3, H, W), are the slopes of linear light by sRGB and of cones' answers by
    linear light's mixtures.
    """

    light: Planes
    cones: Planes

    def inverse(self, opponent: Planes) -> Planes:
        """Return the change of sRGB that makes a small change of opponent colours, (3, H, W)."""
        mixed = _mixed(_FROM_OPPONENT, opponent)
        mixed /= self.cones
        changed = _mixed(_FROM_CONES, mixed)
        changed /= self.light
        return changed

    def inverse_adjoint(self, gradient: Planes) -> Planes:
        """Return the gradient by opponent colours of what has this gradient by sRGB, (3, H, W)."""
        mixed = _mixed(_FROM_CONES.T, gradient / self.light)
        mixed /= self.cones
        return _mixed(_FROM_OPPONENT.T, mixed)


def opponent_derivative(picture: Planes) -> OpponentDerivative:
    """Return the derivative of opponent colours at a picture, float32 (3, H, W) in [0, 1]."""
    light, linear = np.empty_like(picture), np.empty_like(picture)
    for plane, slope, value in zip(picture, light, linear, strict=True):  # few large temporaries
        curve = np.maximum((plane + np.float32(0.055)) / np.float32(1.055), 0)
        slope[:] = np.where(plane <= 0.04045, 1 / 12.92, 2.4 / 1.055 * curve**1.4)
        value[:] = np.where(plane <= 0.04045, plane / 12.92, curve**2.4)
    cones = np.square(np.cbrt(_mixed(_TO_CONES, linear) + _BIAS))
    return OpponentDerivative(light, np.reciprocal(3 * cones))


def _mixed(matrix: Planes, planes: Planes) -> Planes:
    """Return planes (3, H, W), each a sum of the given ones weighted by a row of `matrix`."""
    flat, mixed = planes.reshape(3, -1), np.empty((3, planes[0].size), np.float32)
    for start in range(0, mixed.shape[1], _BAND_PIXELS):
        band = slice(start, start + _BAND_PIXELS)
        np.matmul(matrix, flat[:, band], out=mixed[:, band])
    return mixed.reshape(planes.shape)


def size_of(picture: Planes | Pixels) -> tuple[int, int]:
    """Return height and width."""
    rows, columns = picture.shape[:2] if picture.dtype == np.uint8 else picture.shape[1:]
    return rows, columns
