"""The grey thumbnails of the hashes, from one decode, with shared resize passes.

Pillow resizes along the rows first and along the columns second, and keeps 8 bits in between: two
resizes, each along one axis, are one resize along both, bit for bit. That lets hashes of equal
width share the pass along the rows, which is nearly all of the work. Since Pillow 13 pictures
about twice as high as wide go the other way round (pull request 9549), so those share nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grey = NDArray[np.uint8]

_LANCZOS = Image.Resampling.LANCZOS
_SHARED_UP_TO = 1.5  # height over width; Pillow 13 turns the passes round from about 1.9
_MODES_WITH_ALPHA = ("RGBA", "LA")


@dataclass(frozen=True)
class LumaThumbnails:
    """Thumbnails of `image`, an upright picture in its own mode; all uint8 (rows, columns).

    `pixels`, uint8 (H, W, 3) sRGB, stands in for modes that Pillow cannot turn into grey itself.
    """

    image: Image.Image
    pixels: NDArray[np.uint8]

    @cached_property
    def luma(self) -> Image.Image:
        """The picture in mode L, alpha ignored: ITU-R BT.601 weights in 16-bit fixed point.

        By `convert("L")` from the picture's own mode, as the libraries do.
        """
        image = self.image
        if image.mode == "L":
            return image
        if "transparency" in image.info:  # it changes nothing in the result, but Pillow warns of it
            image = image.copy()
            del image.info["transparency"]
        try:
            return image.convert("L")
        except ValueError:  # LAB and others, which Pillow cannot convert to grey
            return Image.fromarray(self.pixels).convert("L")

    @cached_property
    def eight_by_nine(self) -> Grey:
        """8 rows, 9 columns: difference hash."""
        return _shrunk(self._nine_columns, 9, 8)

    @cached_property
    def nine_by_nine_over_white(self) -> Grey:
        """9 rows, 9 columns, transparency laid over white: row and column difference hash."""
        if self.image.mode not in _MODES_WITH_ALPHA:
            return _shrunk(self._nine_columns, 9, 9)
        return _shrunk(_over_white(self.image), 9, 9)

    def square(self, side: int) -> Grey:
        """Return a new thumbnail of `side` rows and columns."""
        return _shrunk(self.luma, side, side)

    @cached_property
    def _nine_columns(self) -> Image.Image:
        """Nine columns of all rows; the whole picture where Pillow may begin with the columns."""
        luma = self.luma
        if luma.height > _SHARED_UP_TO * luma.width:
            return luma
        return luma.resize((9, luma.height), _LANCZOS)


def _over_white(image: Image.Image) -> Image.Image:
    opaque = Image.new(image.mode[:-1], image.size, "white")
    opaque.paste(image, mask=image.getchannel("A"))
    return opaque.convert("L")


def _shrunk(image: Image.Image, columns: int, rows: int) -> Grey:
    return np.asarray(image.resize((columns, rows), _LANCZOS))
