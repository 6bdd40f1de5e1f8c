"""From file to JSON: the keys of the contract, and the libraries' values on the opened file."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from artscraper_runner.types import Json
from tests.hashes.pictures import MODES, random_picture, sample_pictures, sixteen_bit
from tests.processors.opened import processed

imagehash = pytest.importorskip("imagehash")
dhash = pytest.importorskip("dhash")
library = pytest.importorskip("blockhash.core")
KEYS = {
    "imagehash": {"ahash", "phash", "dhash", "whash-haar"},
    "dhash": {"row_hash", "col_hash", "hex"},
    "blockhash": {"bits8", "bits16"},
}


def ours(path: Path) -> Json:
    """Return the hashes that libraries compute, too: they know no `over_white`."""
    found = {name: processed(name, path) for name in KEYS}
    for hashes in found.values():
        hashes.pop("over_white", None)
    return found


def theirs(image: Image.Image) -> Json:
    """Return the same from the libraries, fed the opened file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they call what Pillow is about to remove
        row, column = dhash.dhash_row_col(image)
        hashes = {
            "imagehash": {
                "ahash": str(imagehash.average_hash(image)),
                "phash": str(imagehash.phash(image)),
                "dhash": str(imagehash.dhash(image)),
                "whash-haar": str(imagehash.whash(image)),
            },
            "dhash": {
                "row_hash": f"{row:016x}",
                "col_hash": f"{column:016x}",
                "hex": dhash.format_hex(row, column),
            },
        }
        if image.mode not in ("RGB", "RGBA"):
            image = image.convert("RGBA" if image.mode == "LA" else "RGB")
        if image.width * image.height < 300_000:
            hashes["blockhash"] = {
                f"bits{side}": library.blockhash(image, side) for side in (8, 16)
            }
        return hashes


def agrees(path: Path) -> bool:
    with Image.open(path) as image:
        expected = theirs(ImageOps.exif_transpose(image))
    found = ours(path)
    assert {name: set(found[name]) for name in KEYS} == KEYS
    return {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (7, 3), (101, 60)])
def test_every_png_mode_hashes_as_the_libraries(
    mode: str, size: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "picture.png"
    random_picture(size, mode).save(path)
    assert agrees(path)


def test_transparent_palette_and_colour_key_hash_as_the_libraries(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    random_picture((101, 60), "P").save(path, transparency=bytes(range(256)))
    assert agrees(path)
    Image.new("RGB", (64, 48), "teal").save(path, transparency=(0, 128, 128))
    assert agrees(path)


@pytest.mark.parametrize("size", [(20_000, 10), (10, 20_000)])
def test_extreme_shapes_hash_as_the_libraries(size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    random_picture(size, "RGB").save(path, compress_level=1)
    assert agrees(path)


@pytest.mark.parametrize("format_name", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_hashed(format_name: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    sixteen_bit((101, 60)).save(path, format_name)
    with Image.open(path) as image:
        assert image.mode == "I;16"
        expected = theirs(image)
    found = ours(path)
    assert found["imagehash"] == expected["imagehash"]
    assert found["dhash"] == expected["dhash"]


def test_sixteen_bit_colour_is_hashed(tmp_path: Path) -> None:
    """Pillow opens it with 8 bits; written here by hand, because Pillow cannot."""
    import struct
    import zlib

    values = np.random.default_rng(0).integers(0, 65_536, (24, 32, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", 32, 24, 16, 2, 0, 0, 0)
    path = tmp_path / "picture.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    assert agrees(path)


@pytest.mark.parametrize("path", sample_pictures(), ids=lambda path: path.name)
def test_sample_files_hash_as_the_libraries(path: Path) -> None:
    assert agrees(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpeg_is_hashed_as_displayed(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / "picture.jpg"
    random_picture((64, 48), "RGB").save(path, exif=exif)
    assert agrees(path)


def test_hashes_do_not_depend_on_orientation(tmp_path: Path) -> None:
    upright = Image.fromarray(
        np.asarray(random_picture((12, 9), "RGB").resize((120, 90), Image.Resampling.BICUBIC))
    )
    found = []
    for orientation, stored in turned(upright):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        path = tmp_path / f"{orientation}.png"
        stored.save(path, exif=exif)
        found.append(ours(path))
    assert all(hashes == found[0] for hashes in found)


def turned(upright: Image.Image) -> list[tuple[int, Image.Image]]:
    """Return every EXIF orientation and how its file stores the picture."""
    turn = Image.Transpose
    stored = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_90,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_270,
    }
    return [(1, upright), *((value, upright.transpose(how)) for value, how in stored.items())]
