"""Open a picture the way the analysis does."""

from pathlib import Path

from artscraper_runner.analysis.processors import DecodedPicture, load_processor
from artscraper_runner.imaging.decode import open_picture
from artscraper_runner.options import AnalysisOptions, PictureLimits
from artscraper_runner.types import Json

WIDE = PictureLimits(max_side=20_000)


def processed(name: str, path: Path, options: AnalysisOptions | None = None) -> Json:
    """Return what the processor `name` says of the picture at `path`."""
    picture = DecodedPicture.of(path, open_picture(path, WIDE))
    return load_processor(name).process(picture, options or AnalysisOptions())
