"""Metadata that layers keep or drop, and the notes about it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin
from PIL.JpegImagePlugin import JpegImageFile

from artscraper_runner.analysis.inventory import growth_note, take_inventory
from artscraper_runner.imaging.decode import open_picture
from artscraper_runner.imaging.encode import layer_format, save_layer
from artscraper_runner.imaging.thumbnails import write_preview
from benchmarks.files.format_files import png_chunk

from .layers import IPTC, LIMITS, drawn, layer_and_notes, photoshop_segment, small_jpeg

SUFFIXES = (".jpg", ".png", ".webp", ".tif", ".avif")
ASCII, SHORT, LONG, RATIONAL, UNDEFINED, FLOAT, DOUBLE = 2, 3, 4, 5, 7, 11, 12


def exif_block(
    *entries: tuple[int, int, int, bytes], nested: dict[int, Any] | None = None
) -> bytes:
    """Return a little-endian EXIF block with these (tag, type, count, value) and orientation 6."""
    rows = [(0x0112, SHORT, 1, struct.pack("<HH", 6, 0)), *entries]
    nested = nested or {}
    rows += [(tag, LONG, 1, b"") for tag in nested]
    rows.sort(key=lambda row: row[0])
    body, values, place = b"", b"", 8 + 2 + 12 * len(rows) + 4
    for tag, kind, count, value in rows:
        field = value
        if tag in nested:
            field = struct.pack("<I", place + len(values))
            values += directory(nested[tag], place + len(values))
        elif len(value) > 4:
            field = struct.pack("<I", place + len(values))
            values += value + b"\0" * (len(value) % 2)
        body += struct.pack("<HHI", tag, kind, count) + field.ljust(4, b"\0")
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(rows)) + body + b"\0" * 4 + values


def directory(entries: list[tuple[int, int, int, bytes]], at: int) -> bytes:
    body, values, place = b"", b"", at + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in sorted(entries):
        field = value
        if len(value) > 4:
            field = struct.pack("<I", place + len(values))
            values += value + b"\0" * (len(value) % 2)
        body += struct.pack("<HHI", tag, kind, count) + field.ljust(4, b"\0")
    return struct.pack("<H", len(entries)) + body + b"\0" * 4 + values


WRONG_TYPES = {
    "rational artist": exif_block((0x013B, RATIONAL, 1, struct.pack("<II", 1, 3))),
    "float software": exif_block((0x0131, FLOAT, 1, struct.pack("<f", 2.5))),
    "double copyright": exif_block((0x8298, DOUBLE, 1, struct.pack("<d", 2.5))),
    "text resolution": exif_block((0x011A, ASCII, 6, b"72dpi\0")),
    "bytes resolution": exif_block((0x011B, UNDEFINED, 6, b"72dpi\0")),
    "text unit": exif_block((0x0128, ASCII, 5, b"inch\0")),
    "rational unit": exif_block((0x0128, RATIONAL, 1, struct.pack("<II", 5, 2))),
    "rational positioning": exif_block((0x0213, RATIONAL, 1, struct.pack("<II", 1, 3))),
    "text positioning": exif_block((0x0213, ASCII, 4, b"top\0")),
    "float version": exif_block(nested={0x8769: [(0x9000, FLOAT, 1, struct.pack("<f", 2.3))]}),
    "text gps version": exif_block(nested={0x8825: [(0, ASCII, 8, b"2.3.0.0\0")]}),
    "text altitude reference": exif_block(nested={0x8825: [(5, ASCII, 4, b"sea\0")]}),
    "text gps rational": exif_block(nested={0x8825: [(2, ASCII, 6, b"48 8N\0")]}),
    "float gps": exif_block(nested={0x8825: [(6, FLOAT, 1, struct.pack("<f", 2.3))]}),
}


@pytest.mark.parametrize("block", WRONG_TYPES.values(), ids=WRONG_TYPES.keys())
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif"])
def test_exif_values_of_wrong_type_are_ignored(tmp_path: Path, suffix: str, block: bytes) -> None:
    source = tmp_path / f"a{suffix}"
    plain: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    drawn().save(source, exif=b"", **plain)
    expected = np.rot90(open_picture(source, LIMITS).pixels, -1)
    put_exif(source, block, plain)
    picture = open_picture(source, LIMITS)
    assert picture.pixels.shape == (96, 64, 3)
    assert np.abs(picture.pixels.astype(int) - expected).mean() < 1
    layer, notes = layer_and_notes(source)
    assert open_picture(layer, LIMITS).pixels.shape == (96, 64, 3)
    has_gps = struct.pack("<HHI", 0x8825, LONG, 1) in block
    assert {("gps", "dropped"), ("exif", "dropped")} & notes or not has_gps
    write_preview(source, tmp_path / "small.webp", 64, LIMITS)
    with Image.open(tmp_path / "small.webp") as small:
        assert small.height > small.width


def put_exif(path: Path, block: bytes, options: dict[str, Any]) -> None:
    """Write the block as it is, where Pillow would refuse to."""
    with Image.open(path) as image:
        image.load()
        if path.suffix != ".avif":
            image.save(path, exif=block, **options)
            return
        placeholder = Image.Exif()
        placeholder[0x0112] = 6  # becomes a property of the AVIF, which is what counts there
        placeholder[0x010E] = "x" * (len(block) + 200)
        image.save(path, exif=placeholder)
    content = path.read_bytes()
    at = content.index(b"MM\0*") if b"MM\0*" in content else content.index(b"II*\0")
    tiff = block[6:]
    path.write_bytes(content[:at] + tiff + content[at + len(tiff) :])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_thumbnails_in_xmp_are_removed(tmp_path: Path, suffix: str) -> None:
    import base64

    source = tmp_path / f"a{suffix}"
    picture = base64.b64encode(small_jpeg()).decode()
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF'
        ' xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:g="http://ns.adobe.com/xap/1.0/g/img/"'
        ' xmp:CreatorTool="Pen"><xmp:Thumbnails><r:Alt><r:li r:parseType="Resource">'
        f"<g:image>{picture}</g:image></r:li></r:Alt></xmp:Thumbnails></r:Description></r:RDF>"
        "</x:xmpmeta>"
    ).encode()
    save_with_xmp(source, packet)
    layer, notes = layer_and_notes(source)
    content = layer.read_bytes()
    assert b"/9j/" not in content and b"Pen" in content
    assert {("thumbnail", "dropped"), ("xmp", "kept")} <= notes


def save_with_xmp(path: Path, packet: bytes) -> None:
    if path.suffix == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", packet.decode())
        drawn().save(path, pnginfo=text)
    elif path.suffix == ".tif":
        drawn().save(path, tiffinfo={700: packet})
    else:
        drawn().save(path, xmp=packet)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_maker_note_with_a_picture_is_removed(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"a{suffix}"
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Ada"
    camera = {0x927C: b"MAKER\0\0" + small_jpeg(), 0x8827: 200}
    exif[ExifTags.IFD.Exif] = camera
    if suffix == ".tif":
        drawn().save(source, tiffinfo={ExifTags.Base.Artist: "Ada", ExifTags.IFD.Exif: camera})
    else:
        drawn().save(source, exif=exif)
    layer, notes = layer_and_notes(source)
    assert b"MAKER" not in layer.read_bytes()
    with Image.open(layer) as image:
        assert image.getexif()[ExifTags.Base.Artist] == "Ada"
        assert image.getexif().get_ifd(ExifTags.IFD.Exif) == {0x8827: 200}
    assert {("maker-note", "dropped"), ("exif", "kept")} <= notes


def test_other_maker_notes_are_kept(tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[0x927C] = b"MAKER\0\0" + b"lens 50 mm" * 10
    drawn().save(source, exif=exif)
    layer, notes = layer_and_notes(source)
    assert b"lens 50 mm" in layer.read_bytes()
    assert ("maker-note", "kept") in notes


def test_iptc_and_comment_of_a_jpeg_survive_without_previews(tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    drawn().save(source, comment=b"drawn by hand")
    content = source.read_bytes()
    preview = b"\x1c\x02\xca" + struct.pack(">H", len(small_jpeg())) + small_jpeg()
    segment = photoshop_segment((0x0404, IPTC + preview), (0x040C, b"\0" * 28 + small_jpeg()))
    source.write_bytes(content[:2] + segment + content[2:])
    layer, notes = layer_and_notes(source)
    with Image.open(layer) as image:
        assert isinstance(image, JpegImageFile)
        assert image.info["comment"] == b"drawn by hand"
        assert image.info["photoshop"] == {0x0404: IPTC}
    assert layer.read_bytes().count(b"\xff\xd8\xff") == 1
    assert {("iptc", "kept"), ("comment", "kept"), ("thumbnail", "dropped")} <= notes


def test_iptc_of_tiff_and_png_survives(tmp_path: Path) -> None:
    tiff = tmp_path / "a.tif"
    drawn().save(tiff, tiffinfo={33_723: IPTC})
    layer, notes = layer_and_notes(tiff)
    assert IPTC in layer.read_bytes() and ("iptc", "kept") in notes
    png = tmp_path / "a.png"
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type iptc", f"\niptc\n{len(IPTC):8d}\n{IPTC.hex()}\n", zip=True)
    drawn().save(png, pnginfo=text)
    layer, notes = layer_and_notes(png)
    with Image.open(layer) as image:
        assert IPTC.hex() in "".join(str(image.info["Raw profile type iptc"]).split())
    assert ("iptc", "kept") in notes


def test_text_of_a_png_survives(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    text = PngImagePlugin.PngInfo()
    for key, value in {"Artist": "Ada", "Comment": "Grüße", "Title": "Sea"}.items():
        text.add_itxt(key, value)
    text.add_text("Raw profile type exif", "exif\n 4\n00000000")
    text.add_text("Preview", "data:image/jpeg;base64," + "A" * 100)
    drawn().save(source, pnginfo=text)
    layer, notes = layer_and_notes(source)
    with Image.open(layer) as image:
        kept = {key: value for key, value in image.info.items() if isinstance(value, str)}
    assert kept == {"Artist": "Ada", "Comment": "Grüße", "Title": "Sea"}
    assert {("text", "kept"), ("thumbnail", "dropped")} <= notes


def test_gif_comment_becomes_text(tmp_path: Path) -> None:
    source = tmp_path / "a.gif"
    drawn().quantize(32).save(source, comment=b"by Ada")
    layer, notes = layer_and_notes(source)
    with Image.open(layer) as image:
        assert image.info["Comment"] == "by Ada"
    assert {("comment", "kept"), ("encoding", "changed"), ("colour-model", "changed")} <= notes


def test_frames_thumbnails_and_trailing_data_are_noted(tmp_path: Path) -> None:
    animated = tmp_path / "a.gif"
    drawn().quantize(32).save(
        animated, save_all=True, append_images=[drawn().rotate(90).quantize(32)]
    )
    assert ("animation", "dropped") in layer_and_notes(animated)[1]
    motion = tmp_path / "a.jpg"
    drawn().save(motion, progressive=True)
    motion.write_bytes(motion.read_bytes() + b"\0\0\0\x18ftypmp42" + b"\0" * 500)
    layer, notes = layer_and_notes(motion)
    assert {("trailing-data", "dropped"), ("progressive", "kept")} <= notes
    assert b"ftypmp42" not in layer.read_bytes()


def test_plain_picture_has_no_notes(tmp_path: Path) -> None:
    for suffix in (".jpg", ".png", ".tif", ".bmp"):
        source = tmp_path / f"plain{suffix}"
        drawn().save(source)
        assert layer_and_notes(source)[1] == set()


LOSSLESS: dict[str, dict[str, Any]] = {
    ".png": {},
    ".gif": {},
    ".webp": {"lossless": True},
    ".tif": {"compression": "tiff_adobe_deflate"},
}


@pytest.mark.parametrize(("suffix", "options"), LOSSLESS.items(), ids=LOSSLESS.keys())
def test_growing_flat_picture_has_a_note(
    tmp_path: Path, suffix: str, options: dict[str, Any]
) -> None:
    source = tmp_path / f"a{suffix}"
    flat = np.full((256, 256, 3), 200, np.uint8)
    flat[40:90, 30:200] = (20, 60, 120)
    Image.fromarray(flat).save(source, **options)
    picture = open_picture(source, LIMITS)
    how = layer_format(picture, source)
    assert how.lossless
    layer = tmp_path / f"layer{how.suffix}"
    change = np.random.default_rng(2).integers(-4, 5, flat.shape)
    save_layer((picture.pixels + change).astype(np.uint8), picture, layer, how)
    grown = layer.stat().st_size / source.stat().st_size
    assert grown > 8
    note = growth_note(source.stat().st_size, layer.stat().st_size, how)
    assert note is not None and (note.subject, note.action) == ("file-size", "changed")
    assert f"{grown:.1f} times" in note.detail and "flat" in note.detail
    assert growth_note(source.stat().st_size, 8 * source.stat().st_size, how) is None


def test_orientation_ignored_by_viewers_is_not_applied(tmp_path: Path) -> None:
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF'
        b' xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description'
        b' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="3"/></r:RDF></x:xmpmeta>'
    )
    for suffix in (".png", ".jpg", ".webp"):
        source = tmp_path / f"xmp{suffix}"
        save_with_xmp(source, packet)
        assert open_picture(source, LIMITS).orientation == 1
        layer, notes = layer_and_notes(source)
        assert open_picture(layer, LIMITS).exif.get(0x0112, 1) == 1
        assert ("xmp", "kept") in notes
    block = exif_block()  # as ImageMagick writes it into text
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(block):8d}\n{block.hex()}\n", zip=True)
    drawn().save(tmp_path / "text.png", pnginfo=text)
    picture = open_picture(tmp_path / "text.png", LIMITS)
    assert picture.orientation == 1 and picture.pixels.shape == (64, 96, 3)


def test_application_data_is_noted(tmp_path: Path) -> None:
    png, jpeg, tiff = tmp_path / "a.png", tmp_path / "a.jpg", tmp_path / "a.tif"
    drawn().save(png)
    content = png.read_bytes()
    png.write_bytes(content[:33] + png_chunk(b"prVt", b"layers of a program") + content[33:])
    drawn().save(jpeg)
    content = jpeg.read_bytes()
    segment = b"\xff\xec" + struct.pack(">H", 2 + 11) + b"Ducky\0\0\0\0\0\0"
    jpeg.write_bytes(content[:2] + segment + content[2:])
    drawn().save(tiff, tiffinfo={37_724: b"Adobe Photoshop Document Data Block\0"})
    for source, name in ((png, "prVt"), (jpeg, "APP12"), (tiff, "37724")):
        layer, notes = layer_and_notes(source)
        assert ("other-data", "dropped") in notes
        picture = open_picture(source, LIMITS)
        details = [
            note.detail for note in take_inventory(picture, source, layer_format(picture, source))
        ]
        assert any(name in detail for detail in details)
        assert name.encode() not in layer.read_bytes()
