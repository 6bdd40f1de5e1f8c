"""Average, perceptual, difference and wavelet hash, as the ImageHash library computes them."""

from __future__ import annotations

from artscraper_runner.analysis.hashes import hexadecimal
from artscraper_runner.analysis.hashes.imagehash_family import (
    average_hash,
    difference_hash,
    perceptual_hash,
)
from artscraper_runner.analysis.hashes.luma_thumbnails import LumaThumbnails
from artscraper_runner.analysis.hashes.wavelet_hash import wavelet_hash
from artscraper_runner.analysis.processors import DecodedPicture
from artscraper_runner.options import AnalysisOptions
from artscraper_runner.types import Json, Project

PROJECT = Project("imagehash", "average, perceptual, difference and wavelet hashes, 64 bits each")
_THREADS = 2  # Pillow resizes outside the interpreter's lock


def process(picture: DecodedPicture, options: AnalysisOptions) -> Json:
    """Return the four hashes of the upright picture as 16 hexadecimal digits each.

    The library ignores transparency; `over_white` has the hashes of what is seen on white, where
    the picture has any.
    """
    hashes = _hashes(picture.thumbnails)
    if picture.thumbnails_over_white is not None:
        hashes["over_white"] = _hashes(picture.thumbnails_over_white)
    return hashes


def _hashes(thumbnails: LumaThumbnails) -> Json:
    from concurrent.futures import ThreadPoolExecutor

    _ = thumbnails.luma  # made here, so that no thread waits for another
    with ThreadPoolExecutor(_THREADS) as pool:
        hashes = {  # the longest first
            "whash-haar": pool.submit(wavelet_hash, thumbnails),
            "phash": pool.submit(perceptual_hash, thumbnails),
            "dhash": pool.submit(difference_hash, thumbnails),
            "ahash": pool.submit(average_hash, thumbnails),
        }
        names = ("ahash", "phash", "dhash", "whash-haar")
        return {name: hexadecimal(hashes[name].result()) for name in names}
