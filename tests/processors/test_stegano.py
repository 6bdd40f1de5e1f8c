"""From file to JSON: messages, trailing bytes and rates, whatever the format and orientation."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from tests.processors.opened import processed
from tests.processors.test_hash_processors import turned
from tests.steganalysis.test_lsb_message import hide, noise


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "BMP"])
def test_message_is_found_with_its_preview(format_name: str, tmp_path: Path) -> None:
    text = "Grüße " * 100
    stream = text.encode()
    path = tmp_path / "picture"
    pixels = hide(noise(100, 100), b"%d:" % len(stream) + stream)
    Image.fromarray(pixels).save(path, format_name)
    data = processed("stegano", path)
    assert data["found"] is True
    assert data["preview"] == text[:200]
    assert (data["message_bytes"], data["encoding"]) == (len(stream), "utf-8")
    json.dumps(data, allow_nan=False)


def test_message_under_alpha_is_found(tmp_path: Path) -> None:
    pixels = np.dstack([hide(noise(), b"5:hello"), np.zeros((40, 31), np.uint8)])
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    assert processed("stegano", tmp_path / "picture.png")["preview"] == "hello"


def test_message_is_found_in_file_order(tmp_path: Path) -> None:
    stored = Image.fromarray(hide(noise(), b"5:hello"))
    for orientation, _ in turned(stored):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        stored.save(tmp_path / "picture.png", exif=exif)
        assert processed("stegano", tmp_path / "picture.png")["preview"] == "hello"


def test_appended_archive_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    Image.fromarray(noise()).save(path)
    path.write_bytes(path.read_bytes() + b"PK\x03\x04 archive")
    data = processed("stegano", path)
    assert (data["found"], data["preview"]) == (False, None)
    assert (data["trailing_bytes"], data["trailing_kind"]) == (12, "a ZIP archive")
    assert data["embedding_rate"] is None
    assert data["embedding_rate_note"] == "not estimated: a side is under 64 px"


def test_palette_has_no_estimate(tmp_path: Path) -> None:
    Image.fromarray(noise(80, 80)).convert("P").save(tmp_path / "picture.gif")
    data = processed("stegano", tmp_path / "picture.gif")
    assert data["embedding_rate_note"] == "not estimated: few colours"
    assert data["trailing_bytes"] == 0
