"""Perceptual hashes of one decoded picture, bit for bit as the common libraries compute them.

`luma_thumbnails` makes the small grey pictures that all but the block hash begin with, each once.
A hash is an array of bits; `hexadecimal` writes it down.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def hexadecimal(bits: NDArray[np.bool_]) -> str:
    """Return `bits`, row by row and most significant first, as hexadecimal digits.

    >>> import numpy as np
    >>> hexadecimal(np.array([[True, False, False, False], [False, False, False, True]]))
    '81'
    """
    return np.packbits(bits, axis=None).tobytes().hex()
