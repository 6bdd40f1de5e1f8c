"""Files that every viewer shows are taken, with a note of the damage; others are refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.errors import BrokenPicture
from artscraper_runner.imaging.decode import Picture, inspect_picture, open_picture
from artscraper_runner.imaging.encode import layer_format, save_layer
from artscraper_runner.imaging.thumbnails import write_preview
from artscraper_runner.options import PictureLimits
from benchmarks.files.format_files import colour_samples, eight, png_chunk, write_png

LIMITS = PictureLimits()


def notes(picture: Picture) -> set[tuple[str, str]]:
    every = (*picture.container.notes, *picture.colour.notes)
    return {(str(note.subject), str(note.action)) for note in every}


def with_bad_checksum(kind: bytes, content: bytes) -> bytes:
    chunk = png_chunk(kind, content)
    return chunk[:-4] + b"\0\1\2\3"


@pytest.mark.parametrize(
    ("chunk", "subject"),
    [
        (png_chunk(b"iCCP", b""), "colour-profile"),
        (png_chunk(b"iCCP", b"name\0\0no zlib"), "colour-profile"),
        (with_bad_checksum(b"iCCP", b"name\0\0" + zlib.compress(b"x" * 200)), "colour-profile"),
        (png_chunk(b"gAMA", b"\0\0"), "colour-profile"),
        (png_chunk(b"gAMA", b"\0\0\0\0"), "colour-profile"),
        (with_bad_checksum(b"tEXt", b"a\0b"), "text"),
        (png_chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * (2 << 20))), "text"),
        (png_chunk(b"zTXt", b"a\0\0broken"), "text"),
        (png_chunk(b"tRNS", b"\0\1"), "alpha"),
        (png_chunk(b"pHYs", b"\0"), "structure"),
        (png_chunk(b"cHRM", b"\0" * 32) + png_chunk(b"gAMA", b"\0\0\xb1\x8f"), "colour-profile"),
    ],
)
def test_damaged_ancillary_chunk_is_ignored_with_a_note(
    tmp_path: Path, chunk: bytes, subject: str
) -> None:
    source = tmp_path / "a.png"
    write_png(source, colour_samples(), 2, 8)
    content = source.read_bytes()
    source.write_bytes(content[:33] + chunk + content[33:])
    inspect_picture(source, LIMITS)
    picture = open_picture(source, LIMITS)
    assert np.array_equal(picture.pixels, eight(colour_samples()))
    assert notes(picture) == {(subject, "dropped")}


def test_many_compressed_chunks_are_cheap(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    write_png(source, colour_samples(), 2, 8)
    content = source.read_bytes()
    bomb = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * (1 << 20)))
    source.write_bytes(content[:33] + bomb * 5_000 + content[33:])
    inspect_picture(source, LIMITS)  # inflating all of them would take a minute
    assert notes(open_picture(source, LIMITS)) == {("text", "dropped")}


def test_short_palette_with_long_transparency_is_read(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    rows = b"".join(b"\0" + bytes((0, 1, 1, 0)) for _ in range(4))
    header = struct.pack(">IIBBBBB", 4, 4, 8, 3, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"PLTE", bytes((9, 8, 7, 200, 100, 50)))]
    chunks += [(b"tRNS", b"\x80\xff" + b"\0" * 300), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    source.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks))
    picture = open_picture(source, LIMITS)
    assert picture.pixels[0].tolist() == [[9, 8, 7], [200, 100, 50], [200, 100, 50], [9, 8, 7]]
    assert picture.alpha is not None and picture.alpha[0].tolist() == [128, 255, 255, 128]
    assert notes(picture) == {("alpha", "dropped")}


@pytest.mark.parametrize("palette_behind", [False, True])
def test_missing_palette_is_refused_with_a_reason(tmp_path: Path, *, palette_behind: bool) -> None:
    source = tmp_path / "a.png"
    header = struct.pack(">IIBBBBB", 4, 4, 8, 3, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 20))]
    chunks += [(b"PLTE", b"\0" * 6)] * palette_behind + [(b"IEND", b"")]
    source.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks))
    for read in (
        lambda: inspect_picture(source, LIMITS),
        lambda: open_picture(source, LIMITS),
        lambda: write_preview(source, tmp_path / "small.webp", 16, LIMITS),
    ):
        with pytest.raises(BrokenPicture, match="palette"):
            read()


def test_mpf_index_without_second_picture_is_read(tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    first = Image.fromarray(eight(colour_samples()))
    first.save(source, format="MPO", save_all=True, append_images=[first.rotate(180)])
    with Image.open(source) as image:
        expected = np.asarray(image.convert("RGB"))
    content = source.read_bytes()
    source.write_bytes(content[: content.rindex(b"\xff\xd8\xff")])
    picture = open_picture(source, LIMITS)
    assert np.array_equal(picture.pixels, expected)
    assert picture.header.format == "JPEG" and picture.header.frames == 1
    assert picture.container.jpeg is not None and picture.container.jpeg.further_pictures == 1


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_jpeg_without_end_marker_is_read_if_complete(
    tmp_path: Path, subsampling: int, *, progressive: bool
) -> None:
    whole, cut = tmp_path / "whole.jpg", tmp_path / "cut.jpg"
    image = Image.fromarray(eight(colour_samples()))
    image.save(whole, subsampling=subsampling, progressive=progressive)
    content = whole.read_bytes()
    cut.write_bytes(content[:-2])
    picture = open_picture(cut, LIMITS)
    assert np.array_equal(picture.pixels, open_picture(whole, LIMITS).pixels)
    assert notes(picture) == {("structure", "changed")}
    last_scan = content.rindex(b"\xff\xda")
    for end in (len(content) - 40, last_scan + 20, last_scan):
        cut.write_bytes(content[:end])
        with pytest.raises(BrokenPicture):
            open_picture(cut, LIMITS)


def test_avif_clean_aperture_is_cropped(tmp_path: Path) -> None:
    source = tmp_path / "a.avif"
    Image.fromarray(eight(colour_samples())).save(source, quality=100, subsampling="4:4:4")
    content = source.read_bytes()
    whole = open_picture(source, LIMITS).pixels
    source.write_bytes(with_clean_aperture(content, width=40, height=30, right=-4, below=5))
    picture = open_picture(source, LIMITS)
    assert (picture.header.width, picture.header.height) == (40, 30)
    left, top = (96 - 40) // 2 - 4, (64 - 30) // 2 + 5
    assert np.array_equal(picture.pixels, whole[top : top + 30, left : left + 40])
    layer = tmp_path / "layer.avif"
    save_layer(picture.pixels, picture, layer, layer_format(picture, source))
    assert open_picture(layer, LIMITS).pixels.shape == (30, 40, 3)
    write_preview(source, tmp_path / "small.jpg", 512, LIMITS)
    with Image.open(tmp_path / "small.jpg") as small:
        assert small.size == (40, 30)


def with_clean_aperture(
    content: bytes, *, width: int, height: int, right: int, below: int
) -> bytes:
    """Put the property `clap` at the end of an AVIF's properties and link it to the first item."""
    numbers = struct.pack(">8i", width, 1, height, 1, right, 1, below, 1)
    clap = struct.pack(">I4s", 40, b"clap") + numbers
    data = bytearray(content)
    ipco = data.index(b"ipco") - 4
    ipco_size = int.from_bytes(data[ipco : ipco + 4], "big")
    count, at = 0, ipco + 8
    while at < ipco + ipco_size:
        at, count = at + int.from_bytes(data[at : at + 4], "big"), count + 1
    ipma = data.index(b"ipma") - 4
    entries = ipma + 8 + 4 + 4 + 2
    insertions = [(ipma + int.from_bytes(data[ipma : ipma + 4], "big"), bytes((count + 1 | 0x80,)))]
    insertions += [(ipco + ipco_size, clap)]
    data[entries] += 1
    added = sum(len(piece) for _, piece in insertions)
    meta = data.index(b"meta") - 4
    iprp = data.index(b"iprp") - 4
    for box, grown in ((meta, added), (iprp, added), (ipco, len(clap)), (ipma, 1)):
        size = int.from_bytes(data[box : box + 4], "big") + grown
        data[box : box + 4] = size.to_bytes(4, "big")
    iloc = data.index(b"iloc") + 4
    offset = iloc + 4 + 2 + 2 + 2 + 2 + 2  # version, sizes, count, id, reference, extents
    moved = int.from_bytes(data[offset : offset + 4], "big") + added
    data[offset : offset + 4] = moved.to_bytes(4, "big")
    for place, piece in insertions:
        data[place:place] = piece
    return bytes(data)
