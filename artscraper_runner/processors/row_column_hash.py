"""Row and column difference hash, by Ben Hoyt's dhash library."""

from __future__ import annotations

from artscraper_runner.processors import DecodedPicture
from artscraper_runner.types import Json, Project

PROJECT = Project("dhash", "row and column difference hash, 64 bits each")


def process(picture: DecodedPicture) -> Json:
    """Returns the row and the column hash, and both in one, as hexadecimal digits."""
    import dhash

    row, column = dhash.dhash_row_col(picture.luma)
    return {
        "row_hash": f"{row:016x}",
        "col_hash": f"{column:016x}",
        "hex": dhash.format_hex(row, column),
    }
