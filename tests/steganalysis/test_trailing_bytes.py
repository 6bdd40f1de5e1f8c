"""Whatever is put behind a picture of any format with an end is found, to the byte."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.analysis.steganalysis.trailing_bytes import (
    TrailingBytes,
    find_trailing_bytes,
)

WITH_AN_END = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF"]


def encoded(format_name: str, **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format_name, **options)
    return file.getvalue()


def found(data: bytes, format_name: str, folder: Path) -> TrailingBytes | None:
    path = folder / "picture"
    path.write_bytes(data)
    return find_trailing_bytes(path, format_name)


@pytest.mark.parametrize("format_name", WITH_AN_END)
def test_ordinary_picture_has_no_trailing_bytes(format_name: str, tmp_path: Path) -> None:
    assert found(encoded(format_name), format_name, tmp_path) == TrailingBytes(0, "nothing")


@pytest.mark.parametrize("format_name", WITH_AN_END)
@pytest.mark.parametrize(
    ("behind", "kind"),
    [
        (b"PK\x03\x04 and more", "a ZIP archive"),
        (b"attack at dawn", "unknown data"),
        (bytes(100), "zeros"),
        (b"\xff\xd8\xff\xe0 another", "a JPEG picture"),
        (b"x", "unknown data"),
    ],
)
def test_trailing_bytes_are_measured_and_identified(
    format_name: str, behind: bytes, kind: str, tmp_path: Path
) -> None:
    data = encoded(format_name) + behind
    assert found(data, format_name, tmp_path) == TrailingBytes(len(behind), kind)


def test_progressive_jpeg_with_thumbnail_ends_at_its_marker(tmp_path: Path) -> None:
    thumbnail = encoded("JPEG")
    picture = encoded("JPEG", progressive=True, restart_marker_blocks=2, comment=thumbnail)
    assert found(picture + b"tail", "JPEG", tmp_path) == TrailingBytes(4, "unknown data")


def test_tiff_and_truncated_files_have_no_end(tmp_path: Path) -> None:
    assert found(encoded("TIFF"), "TIFF", tmp_path) is None
    for format_name in ("PNG", "JPEG", "WEBP", "GIF", "AVIF"):
        assert found(encoded(format_name)[:-20], format_name, tmp_path) is None


@pytest.mark.parametrize("filler", [b"\xff\x00", b"\xff\xd0", b"\xff\xff", b"\xff\xd8", b"\x00"])
def test_hostile_jpeg_takes_linear_time(filler: bytes, tmp_path: Path) -> None:
    # Quadratic work on so much would take hours.
    found(encoded("JPEG")[:-2] + filler * (10_000_000 // len(filler)), "JPEG", tmp_path)
