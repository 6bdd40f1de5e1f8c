"""Average, perceptual and difference hash as ImageHash 4.3.2 computes them, and dhash 1.4's two.

All take thumbnails of a picture and return bool arrays (8, 8).

Sources: N. Krawetz, "Looks Like It" (2011) and "Kind of Like That" (2013), hackerfactor.com;
B. Hoyt, "Duplicate image detection with perceptual hashing in Python" (2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from artscraper_runner.analysis.hashes.cosine_transform import cosine_transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artscraper_runner.analysis.hashes.luma_thumbnails import LumaThumbnails

    Bits = NDArray[np.bool_]

_HASH_SIDE = 8
_DCT_SIDE = 32  # px; four times the hash's side


def average_hash(thumbnails: LumaThumbnails) -> Bits:
    """Return which of 8x8 pixels are brighter than their mean."""
    grey = thumbnails.eight_by_eight
    bits: Bits = grey > grey.mean()
    return bits


def perceptual_hash(thumbnails: LumaThumbnails) -> Bits:
    """Return which of the 8x8 lowest DCT-II coefficients of 32x32 pixels exceed their median.

    On pictures whose coefficients are equal (one colour) the bits are rounding noise; it is the
    same noise as ImageHash's, because `cosine_transform` computes as SciPy does.
    """
    grey = thumbnails.square(_DCT_SIDE)
    coefficients = cosine_transform(grey)[:_HASH_SIDE, :_HASH_SIDE]
    bits: Bits = coefficients > np.median(coefficients)
    return bits


def difference_hash(thumbnails: LumaThumbnails) -> Bits:
    """Return which of 8x9 pixels are brighter than their left neighbour."""
    grey = thumbnails.eight_by_nine
    bits: Bits = grey[:, 1:] > grey[:, :-1]
    return bits


def row_and_column_hash(thumbnails: LumaThumbnails) -> tuple[Bits, Bits]:
    """Return which of 9x9 pixels are darker than the next one along the row, and the column."""
    grey = thumbnails.nine_by_nine_over_white
    corner = grey[:_HASH_SIDE, :_HASH_SIDE]
    return corner < grey[:_HASH_SIDE, 1:], corner < grey[1:, :_HASH_SIDE]
