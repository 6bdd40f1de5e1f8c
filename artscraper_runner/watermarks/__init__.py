"""Invisible watermarks: one module per algorithm, pure functions from pixels to pixels.

`tiled_spread_spectrum` is the default, `dwt_dct_svd` the one that the package invisible-watermark
reads. Only the first has a checksum, so only it can be read without knowing what to expect:
`tiled_spread_spectrum.read_watermark`.
"""

import numpy as np
import numpy.typing as npt

from artscraper_runner.errors import UnsupportedPixels

Pixels = npt.NDArray[np.uint8]  # (H, W, 3), sRGB


def check_layout(pixels: Pixels) -> None:
    """Check that an array is uint8 (H, W, 3).

    Raises:
        UnsupportedPixels: it is not.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise UnsupportedPixels(
            f"expected uint8 pixels of shape (H, W, 3); found {pixels.shape} of {pixels.dtype}"
        )
