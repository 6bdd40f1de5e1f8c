"""Files of very many empty parts are refused quickly, before anything handles their parts."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from artscraper_runner.errors import BrokenPicture
from artscraper_runner.imaging.formats.structure import (
    MAX_PARTS,
    check_structure,
    walk_gif,
    walk_jpeg,
)

MANY = MAX_PARTS + 10_000


def encoded(format_name: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, format_name)
    return file.getvalue()


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with_chunks(kind: bytes) -> bytes:
    png = encoded("PNG")
    return png[:-12] + chunk(kind) * MANY + png[-12:]


def gif_with_empty_extensions() -> bytes:
    return b"GIF89a\x08\0\x08\0\0\0\0" + b"!\xf0\0" * MANY + b";"


def gif_with_empty_frames() -> bytes:
    return b"GIF89a\x08\0\x08\0\0\0\0" + b",\0\0\0\0\x08\0\x08\0\0\x02\0" * MANY + b";"


def jpeg_with_scans() -> bytes:
    file = io.BytesIO()
    Image.new("L", (64, 64)).save(file, "JPEG", progressive=True)
    jpeg = file.getvalue()
    return jpeg[:-2] + jpeg[jpeg.rindex(b"\xff\xda") : -2] * 100 + jpeg[-2:]


def big_tiff() -> bytes:
    entry = struct.pack("<HHQQ", 40_000, 3, 1, 1)
    return struct.pack("<2s3HQQ", b"II", 43, 8, 0, 16, MANY) + entry * MANY + bytes(8)


@pytest.mark.parametrize(
    "make",
    [
        lambda: png_with_chunks(b"teSt"),
        lambda: png_with_chunks(b"IDAT"),
        gif_with_empty_extensions,
        gif_with_empty_frames,
        lambda: b"\xff\xd8" + b"\xff\xfe\x00\x02" * MANY,
        big_tiff,
    ],
    ids=[
        "png chunks after the pixels",
        "png empty IDAT",
        "gif extensions",
        "gif frames",
        "jpeg segments",
        "bigtiff",
    ],
)
def test_very_many_parts_are_refused_quickly(make: Callable[[], bytes], tmp_path: Path) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(make())
    with pytest.raises(BrokenPicture, match="at most 300000"):
        check_structure(path)


def test_jpeg_of_very_many_scans_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(jpeg_with_scans())
    with pytest.raises(BrokenPicture, match="at most 64 JPEG scans"):
        check_structure(path)


def test_progressive_jpeg_with_restarts_is_parsed_to_its_end(tmp_path: Path) -> None:
    file = io.BytesIO()
    noise = Image.effect_noise((100, 100), 60).convert("RGB")
    noise.save(file, "JPEG", progressive=True, restart_marker_blocks=3, comment=b"\xff\xd9")
    assert walk_jpeg(file.getvalue() + b"behind") == len(file.getvalue())


@pytest.mark.parametrize("format_name", ["PNG", "GIF", "TIFF", "JPEG", "WEBP"])
def test_ordinary_files_pass(format_name: str, tmp_path: Path) -> None:
    path = tmp_path / "ordinary"
    path.write_bytes(encoded(format_name))
    check_structure(path)


def test_big_tiff_passes(tmp_path: Path) -> None:
    path = tmp_path / "big.tif"
    Image.new("RGB", (8, 8)).save(path, "TIFF", big_tiff=True)
    assert path.read_bytes()[2] == 43
    check_structure(path)


def test_gif_is_parsed_up_to_its_trailer() -> None:
    gif = encoded("GIF")
    assert walk_gif(gif + b"behind") == (1, len(gif) - 1)
