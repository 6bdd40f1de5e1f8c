"""Properties of every registered processor."""

import json
from pathlib import Path

import pytest
from PIL import Image

from artscraper_runner.analysis.processors import (
    default_processors,
    processor_names,
)
from artscraper_runner.analysis.run import analyse_picture
from artscraper_runner.options import AnalysisOptions
from artscraper_runner.pipeline.credits import project_rows

NAMES = ("metadata", "imagehash", "dhash", "blockhash", "stegano", "tineye")


def test_registered_names_match_the_contract() -> None:
    assert processor_names() == NAMES
    assert default_processors() == NAMES[:-1]


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "LAB", "YCbCr"]
)
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (65, 70)])
def test_every_default_processor_handles_every_mode(
    mode: str, size: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "picture"
    Image.new(mode, size).save(path, "PNG" if mode in ("LA", "P", "RGBA") else "TIFF")
    analysis = analyse_picture(path, AnalysisOptions())
    assert [row["name"] for row in analysis["processors"] if row["ok"]] == list(NAMES[:-1])
    json.dumps(analysis, allow_nan=False)


def test_every_processor_is_credited(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.new("RGB", (9, 9)).save(path)
    rows = {row["name"]: row for row in project_rows([], analyse_picture(path, AnalysisOptions()))}
    for name in ("Pillow", "imagehash", "dhash", "blockhash", "Stegano (analysis)"):
        assert rows[name]["applied"], name
        assert rows[name]["evidence"].startswith("analysis.json: ")
    assert not rows["pytineye"]["applied"]
