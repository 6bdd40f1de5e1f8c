"""Block mean value hash, as blockhash.io defines it."""

from __future__ import annotations

from artscraper_runner.analysis.hashes import hexadecimal
from artscraper_runner.analysis.hashes.block_mean_hash import block_mean_hashes
from artscraper_runner.analysis.processors import DecodedPicture
from artscraper_runner.options import AnalysisOptions
from artscraper_runner.types import Json, Project

PROJECT = Project("blockhash", "block mean value hashes of 64 and 256 bits")
# The definition knows transparency as a channel; a colour key or a palette's alpha it ignores.
_MODES_WITH_ALPHA = ("RGBA", "LA")


def process(picture: DecodedPicture, options: AnalysisOptions) -> Json:
    """Return the hash of 8x8 blocks, 16 hexadecimal digits, and of 16x16, 64 digits.

    `over_white` has the same of what is seen on white, where the picture has transparency.
    """
    alpha = picture.alpha if picture.image.mode in _MODES_WITH_ALPHA else None
    hashes = {
        f"bits{side}": hexadecimal(bits)
        for side, bits in block_mean_hashes(picture.pixels, alpha).items()
    }
    if picture.over_white is None:
        return hashes
    hashes_over_white = block_mean_hashes(picture.over_white, None)
    return {
        **hashes,
        "over_white": {
            f"bits{side}": hexadecimal(bits) for side, bits in hashes_over_white.items()
        },
    }
