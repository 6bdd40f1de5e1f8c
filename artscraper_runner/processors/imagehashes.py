"""Average, perceptual, difference and wavelet hash, by the ImageHash library."""

from __future__ import annotations

from artscraper_runner.processors import DecodedPicture
from artscraper_runner.types import Json, Project

PROJECT = Project("imagehash", "average, perceptual, difference and wavelet hashes, 64 bits each")


def process(picture: DecodedPicture) -> Json:
    """Returns the four hashes as 16 hexadecimal digits each, of the upright picture's luma."""
    import imagehash

    return {
        "ahash": str(imagehash.average_hash(picture.luma)),
        "phash": str(imagehash.phash(picture.luma)),
        "dhash": str(imagehash.dhash(picture.luma)),
        "whash-haar": str(imagehash.whash(picture.luma, mode="haar")),
    }
