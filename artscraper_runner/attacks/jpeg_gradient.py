"""The gradient of a changed picture after it was saved as JPEG.

JPEG rounds the coefficients of blocks of 8x8 px to multiples of a table's steps. A change of a
level or two is rounded away, except where a coefficient lies near the middle between two
multiples: there a small change moves it by a whole step. The rounding is replaced by that of Shin
and Song 2017 ("JPEG-resistant adversarial images"), round(c) + (c - round(c))^3, whose slope is
largest there. Differs: the slope is scaled so that its mean is 1, the objective's value is that of
the picture as it is, and means of blocks are left out: changed, they show as a grid in flat places.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artscraper_runner.attacks.transforms import RGB_TO_YCC, YCC_TO_RGB, mix, scaled
from artscraper_runner.imaging.tiles import over_bands

Array = NDArray[np.float32]
_BLOCK = 8  # px
_BAND_ROWS = 64  # px, a multiple of the one below
_MULTIPLE = 16  # px; blocks of chroma at half the resolution
_SLOPE = 12  # 3 for the cube, and 4 for a mean of 1 over evenly spread coefficients


def jpeg_gradient(gradient: Array, picture: Array, *, quality: int) -> Array:
    """Return the gradient for `picture` when a JPEG of it is what `gradient` belongs to.

    Args:
        gradient: float32 (1, 3, H, W), for the picture as decoded.
        picture: float32 (1, 3, H, W) sRGB in [0, 1]; the grid of blocks begins at its corner.
        quality: of Pillow's JPEG, 1 to 95, with chroma at half the resolution.
    """
    tables, result = _tables(quality), np.empty_like(gradient)

    def of_band(rows: slice) -> None:
        result[:, :, rows] = _of_band(gradient[:, :, rows], picture[:, :, rows], tables)

    over_bands(of_band, picture.shape[2], rows=_BAND_ROWS)
    return result


def _of_band(gradient: Array, picture: Array, tables: tuple[Array, Array]) -> Array:
    """Return `jpeg_gradient` of some rows, whose temporaries fit into the processor's cache."""
    height, width = picture.shape[2:]
    pads = ((0, 0), (0, 0), (0, -height % _MULTIPLE), (0, -width % _MULTIPLE))
    coded = mix(np.pad(picture, pads, mode="edge"), 255 * RGB_TO_YCC)
    coded[:, 0] -= 128
    slopes = mix(np.pad(gradient, pads), YCC_TO_RGB.T)
    luma, chroma = tables
    half = scaled((coded.shape[2], coded.shape[3]), 0.5)
    coarse = half.forward(coded[:, 1:])
    coarse_slopes = 4 * half.forward(slopes[:, 1:])  # the adjoint of repeating each value
    slopes[0, 0] = _through_rounding(slopes[0, 0], coded[0, 0], luma)
    for plane, values in zip(coarse_slopes[0], coarse[0], strict=True):
        plane[:] = _through_rounding(plane, values, chroma)
    slopes[:, 1:] = half.adjoint(coarse_slopes)
    return mix(slopes, RGB_TO_YCC.T)[..., :height, :width]


def _through_rounding(slopes: Array, plane: Array, steps: Array) -> Array:
    """Return slopes (H, W) of a plane's rounded values as those of its values, in levels."""
    transform = _transform()
    rest = _blocks(plane) @ transform.T / steps
    rest -= np.rint(rest)
    coefficients = _blocks(slopes) @ transform.T
    coefficients *= np.float32(_SLOPE) * np.square(rest)
    coefficients[:, 0] = 0
    return _joined(np.asarray(coefficients @ transform, np.float32), plane.shape)


@lru_cache(maxsize=1)
def _transform() -> Array:
    """Return the orthonormal DCT of a block, float32 (64, 64)."""
    rows, columns = np.mgrid[:_BLOCK, :_BLOCK]
    waves = np.cos(np.pi * rows * (2 * columns + 1) / (2 * _BLOCK)) * np.sqrt(2 / _BLOCK)
    waves[0] *= np.sqrt(0.5)
    return np.kron(waves, waves).astype(np.float32)


@lru_cache(maxsize=4)
def _tables(quality: int) -> tuple[Array, Array]:
    """Return the steps of luma and of chroma as Pillow writes them, float32 (64,)."""
    file = io.BytesIO()
    Image.new("RGB", (_MULTIPLE, _MULTIPLE)).save(file, "JPEG", quality=quality)
    tables = Image.open(file).quantization  # type: ignore[attr-defined]
    luma, chroma = (np.array(tables[index], np.float32) for index in (0, 1))
    return luma, chroma


def _blocks(plane: Array) -> Array:
    """Return a plane (H, W) as blocks (n, 64)."""
    height, width = plane.shape
    cells = plane.reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    return cells.transpose(0, 2, 1, 3).reshape(-1, _BLOCK * _BLOCK)


def _joined(blocks: Array, shape: tuple[int, ...]) -> Array:
    height, width = shape
    cells = blocks.reshape(height // _BLOCK, width // _BLOCK, _BLOCK, _BLOCK)
    return cells.transpose(0, 2, 1, 3).reshape(height, width)
