"""Row and column difference hash, as Ben Hoyt's dhash library computes it."""

from __future__ import annotations

from artscraper_runner.analysis.hashes import hexadecimal
from artscraper_runner.analysis.hashes.imagehash_family import row_and_column_hash
from artscraper_runner.analysis.hashes.luma_thumbnails import LumaThumbnails
from artscraper_runner.analysis.processors import DecodedPicture
from artscraper_runner.options import AnalysisOptions
from artscraper_runner.types import Json, Project

PROJECT = Project("dhash", "row and column difference hash, 64 bits each")


def process(picture: DecodedPicture, options: AnalysisOptions) -> Json:
    """Return the row and the column hash, and both in one, as hexadecimal digits.

    `over_white` has the same of what is seen on white, where the picture has transparency.
    """
    hashes = _hashes(picture.thumbnails)
    if picture.thumbnails_over_white is not None:
        hashes["over_white"] = _hashes(picture.thumbnails_over_white)
    return hashes


def _hashes(thumbnails: LumaThumbnails) -> Json:
    row, column = (hexadecimal(bits) for bits in row_and_column_hash(thumbnails))
    return {"row_hash": row, "col_hash": column, "hex": row + column}
