"""Average, perceptual, difference and wavelet hash, as the ImageHash library computes them."""

from __future__ import annotations

from artscraper_runner.processors import DecodedPicture
from artscraper_runner.types import AnalysisOptions, Json, Project

PROJECT = Project("imagehash", "average, perceptual, difference and wavelet hashes, 64 bits each")


def process(picture: DecodedPicture, options: AnalysisOptions) -> Json:
    """Returns the four hashes of the upright picture as 16 hexadecimal digits each."""
    from artscraper_runner.hashes import hexadecimal
    from artscraper_runner.hashes.imagehash_family import (
        average_hash,
        difference_hash,
        perceptual_hash,
    )
    from artscraper_runner.hashes.wavelet_hash import wavelet_hash

    return {
        "ahash": hexadecimal(average_hash(picture.thumbnails)),
        "phash": hexadecimal(perceptual_hash(picture.thumbnails)),
        "dhash": hexadecimal(difference_hash(picture.thumbnails)),
        "whash-haar": hexadecimal(wavelet_hash(picture.thumbnails)),
    }
