"""Layers keep what their original had: format, size, profile, alpha, orientation, author."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps, TiffImagePlugin
from PIL.JpegImagePlugin import JpegImageFile

from artscraper_runner.errors import RunnerError
from artscraper_runner.imaging.decode import open_picture
from artscraper_runner.imaging.encode import (
    LayerFormat,
    layer_format,
    save_layer,
    why_xmp_is_left_out,
)
from artscraper_runner.options import PictureLimits

LIMITS = PictureLimits()
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/"'
    b' exif:GPSLatitude="52,31N" dcCreator="Ada"><exif:GPSLongitude>13,22E</exif:GPSLongitude>'
    b"</rdf:Description></rdf:RDF></x:xmpmeta>"
)


def noise(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> Image.Image:
    rng = np.random.default_rng(1)
    shape = (size[1], size[0], len(mode))
    return Image.fromarray(rng.integers(0, 256, shape, np.uint8), mode)


def smooth() -> Image.Image:
    """Colours that a lossy format keeps when it codes them again."""
    colours = noise(size=(6, 4)).resize((60, 40), Image.Resampling.BICUBIC)
    return Image.blend(colours, Image.new("RGB", colours.size, "grey"), 0.8)


def camera_fields() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Ada"
    exif[ExifTags.Base.Make] = "Camera"
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.ISOSpeedRatings: 200}
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N", ExifTags.GPS.GPSLatitude: 5.0}
    return exif


def layer_of(tmp_path: Path, source: Path, change: int = 0) -> Path:
    picture = open_picture(source, LIMITS)
    how = layer_format(picture, source)
    path = tmp_path / f"layer{how.suffix}"
    pixels = np.clip(picture.pixels.astype(np.int16) + change, 0, 255).astype(np.uint8)
    save_layer(pixels, picture, path, how)
    return path


def saved(tmp_path: Path, image: Image.Image, kind: str, **options: Any) -> Path:
    path = tmp_path / "source"
    image.save(path, kind, **options)
    return path


@pytest.mark.parametrize(
    ("kind", "mode", "options", "becomes"),
    [
        ("PNG", "RGB", {}, "PNG"),
        ("PNG", "RGBA", {}, "PNG"),
        ("WEBP", "RGB", {"lossless": True}, "WEBP"),
        ("WEBP", "RGBA", {"lossless": True, "exact": True}, "WEBP"),
        ("TIFF", "RGB", {}, "TIFF"),
        ("TIFF", "RGBA", {}, "TIFF"),
        ("BMP", "RGB", {}, "BMP"),
    ],
)
def test_lossless_formats_stay_and_keep_every_pixel(
    tmp_path: Path, kind: str, mode: str, options: dict[str, Any], becomes: str
) -> None:
    original = noise(mode)
    path = layer_of(tmp_path, saved(tmp_path, original, kind, **options))
    with Image.open(path) as image:
        assert image.format == becomes
        assert np.array_equal(np.asarray(image.convert(mode)), np.asarray(original))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "BMP"])
def test_palette_pictures_become_png(tmp_path: Path, kind: str) -> None:
    path = layer_of(tmp_path, saved(tmp_path, noise().quantize(32), kind))
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")


@pytest.mark.parametrize("quality", [35, 75, 97])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_keeps_its_encoding(
    tmp_path: Path, quality: int, subsampling: int, *, progressive: bool
) -> None:
    options = {"quality": quality, "subsampling": subsampling, "progressive": progressive}
    source = saved(tmp_path, smooth(), "JPEG", **options)
    with Image.open(source) as original, Image.open(layer_of(tmp_path, source)) as layer:
        assert isinstance(original, JpegImageFile) and isinstance(layer, JpegImageFile)
        assert layer.quantization == original.quantization
        assert layer.layer == original.layer
        assert ("progressive" in layer.info) == progressive


def test_lossy_webp_stays_lossy_webp(tmp_path: Path) -> None:
    source = saved(tmp_path, smooth(), "WEBP", quality=50)
    assert not layer_format(open_picture(source, LIMITS), source).lossless
    with Image.open(layer_of(tmp_path, source)) as image:
        assert image.format == "WEBP"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_profile_author_and_camera_are_kept_without_gps(tmp_path: Path, kind: str) -> None:
    source = saved(
        tmp_path, noise(), kind, icc_profile=SRGB, exif=camera_fields().tobytes(), dpi=(300, 300)
    )
    with Image.open(source) as image:
        assert image.getexif().get_ifd(ExifTags.IFD.GPSInfo), "the test's own input has GPS"
    with Image.open(layer_of(tmp_path, source)) as image:
        exif = image.getexif()
        assert image.info["icc_profile"] == SRGB
        assert exif[ExifTags.Base.Artist] == "Ada"
        assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] == 200
        assert not exif.get_ifd(ExifTags.IFD.GPSInfo)
        assert ExifTags.IFD.GPSInfo not in exif
        if kind != "WEBP":
            assert round(image.info["dpi"][0]) == 300


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_xmp_is_kept_without_gps(tmp_path: Path, kind: str) -> None:
    path = layer_of(tmp_path, saved(tmp_path, noise(), kind, xmp=XMP))
    with Image.open(path) as image:
        assert b'dcCreator="Ada"' in image.info["xmp"]
        assert b"GPS" not in image.info["xmp"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation_and_stored_pixel_order_are_kept(
    tmp_path: Path, kind: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    original = Image.linear_gradient("L").resize((64, 32)).convert("RGB")
    source = saved(tmp_path, original, kind, exif=exif, **_lossless(kind))
    upright = open_picture(source, LIMITS)
    with Image.open(source) as image:
        stored_size = image.size  # Pillow turns a TIFF itself
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        assert np.array_equal(upright.pixels, expected)
    with Image.open(layer_of(tmp_path, source)) as image:
        assert image.size == stored_size
        assert image.getexif().get(ExifTags.Base.Orientation, 1) == orientation
        shown = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)
    assert np.abs(shown - upright.pixels.astype(int)).max() <= 6


def test_grey_profile_is_not_written_for_colour(tmp_path: Path) -> None:
    profile = bytearray(SRGB)
    profile[16:20] = b"GRAY"
    path = layer_of(tmp_path, saved(tmp_path, noise().convert("L"), "PNG", icc_profile=profile))
    with Image.open(path) as image:
        assert "icc_profile" not in image.info


def _lossless(kind: str) -> dict[str, Any]:
    return {"WEBP": {"lossless": True}, "JPEG": {"quality": 98, "subsampling": 0}}.get(kind, {})


def test_camera_fields_of_wrong_type_are_dropped(tmp_path: Path) -> None:
    """Cameras write such fields; Pillow reads them and cannot write them again."""
    tags = [
        (ExifTags.Base.Artist, 2, b"Ada\0"),
        (ExifTags.Base.XResolution, 2, b"72dpi\0"),  # ASCII where a rational belongs
        (ExifTags.Base.ResolutionUnit, 4, struct.pack("<I", 70_000)),  # LONG for SHORT
    ]
    path = tmp_path / "source"
    noise().save(path, "JPEG", exif=_raw_exif(tags))
    with Image.open(layer_of(tmp_path, path)) as image:
        assert image.getexif()[ExifTags.Base.Artist].strip("\0") == "Ada"


def test_encoder_errors_are_wrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise RuntimeError("Error setting from dictionary")

    source = saved(tmp_path, noise(), "TIFF")
    monkeypatch.setattr(Image.Image, "save", refuse)
    with pytest.raises(RunnerError, match="cannot be saved as TIFF: Error setting"):
        layer_of(tmp_path, source)


def _exif_of_many_bytes(note: int, comment: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Artist] = "Ada"
    exif[ExifTags.Base.Copyright] = "hers"
    exif[ExifTags.Base.ImageDescription] = "d" * comment
    exif[ExifTags.IFD.Exif] = {
        ExifTags.Base.MakerNote: b"m" * note,
        ExifTags.Base.ISOSpeedRatings: 200,
    }
    return exif


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_large_exif_is_kept_if_the_format_allows(tmp_path: Path, kind: str) -> None:
    exif = _exif_of_many_bytes(70_000, 70_000)
    source = saved(tmp_path, noise(), kind, exif=exif.tobytes(), **_lossless(kind))
    with Image.open(layer_of(tmp_path, source)) as image:
        found = image.getexif()
        assert found.get(ExifTags.Base.Orientation) == 6
        assert len(found[ExifTags.Base.ImageDescription]) == 70_000
        assert len(found.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote]) == 70_000


@pytest.mark.parametrize(
    ("note", "comment", "kept"),
    [
        (1_000, 1_000, {"MakerNote", "ISOSpeedRatings", "ImageDescription", "Artist"}),
        (70_000, 1_000, {"ISOSpeedRatings", "ImageDescription", "Artist"}),
        (0, 70_000, {"Artist"}),
    ],
)
def test_oversized_jpeg_exif_drops_the_maker_note_first(
    tmp_path: Path, note: int, comment: int, kept: set[str]
) -> None:
    exif = _exif_of_many_bytes(note, comment)
    picture = open_picture(saved(tmp_path, noise(), "PNG", exif=exif.tobytes()), LIMITS)
    path = tmp_path / "layer.jpg"
    save_layer(picture.pixels, picture, path, LayerFormat("JPEG", ".jpg", lossless=False))
    with Image.open(path) as image:
        found = image.getexif()
        camera = found.get_ifd(ExifTags.IFD.Exif)
        assert found[ExifTags.Base.Orientation] == 6
        assert found[ExifTags.Base.Copyright] == "hers"
        names = {"MakerNote", "ISOSpeedRatings", "ImageDescription", "Artist"}
        tags = {name for name in names if ExifTags.Base[name] in {**found, **camera}}
        assert tags == kept


def _xmp_of(size: int) -> bytes:
    head, tail = XMP.split(b"</rdf:Description>")
    inner = b"<dc:a xmlns:dc='urn:dc'>" + b"a" * size + b"</dc:a>"
    return head + inner + b"</rdf:Description>" + tail


@pytest.mark.parametrize(("size", "is_kept"), [(60_000, True), (66_000, False)])
def test_oversized_jpeg_xmp_is_dropped(tmp_path: Path, size: int, *, is_kept: bool) -> None:
    picture = open_picture(saved(tmp_path, noise(), "WEBP", xmp=_xmp_of(size)), LIMITS)
    path = tmp_path / "layer.jpg"
    save_layer(picture.pixels, picture, path, LayerFormat("JPEG", ".jpg", lossless=False))
    with Image.open(path) as image:
        assert ("xmp" in image.info) == is_kept


@pytest.mark.parametrize(
    ("packet", "kind", "said"),
    [
        (XMP, "JPEG", None),
        (_xmp_of(66_000), "WEBP", None),
        (_xmp_of(66_000), "JPEG", "in UTF-8 it has 66"),
        (_xmp_of(1 << 20), "WEBP", "1048576 bytes are read, it has 1048"),
        (b"<x:xmpmeta", "WEBP", "expected well-formed XML"),
    ],
)
def test_dropped_xmp_is_noted(tmp_path: Path, packet: bytes, kind: str, said: str | None) -> None:
    picture = open_picture(saved(tmp_path, noise(), "WEBP", xmp=packet), LIMITS)
    why = why_xmp_is_left_out(picture, LayerFormat(kind, ".x", lossless=False))
    assert why is None if said is None else why is not None and said in why


@pytest.mark.parametrize("code", ["utf-8", "utf-16"])
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "TIFF"])
def test_locations_in_other_prefixes_and_encodings_are_removed(
    tmp_path: Path, kind: str, code: str
) -> None:
    xmp = XMP.replace(b"exif:", b"other:").replace(b":exif=", b":other=").decode().encode(code)
    if kind == "TIFF":
        directory = TiffImagePlugin.ImageFileDirectory_v2()
        directory[700] = xmp
        source = saved(tmp_path, noise(), kind, tiffinfo=directory)
    else:
        source = saved(tmp_path, noise(), kind, xmp=xmp)
    content = layer_of(tmp_path, source).read_bytes()
    for place in ("52,31N", "13,22E"):
        assert place.encode() not in content and place.encode("utf-16-le") not in content
    assert b'dcCreator="Ada"' in content


def _raw_exif(tags: list[tuple[int, int, bytes]]) -> bytes:
    """Return an EXIF block with one directory of (tag, type, value) entries."""
    start = 8 + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for tag, kind, value in sorted(tags):
        count = len(value) // {2: 1, 4: 4}[kind]
        inline = (
            value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", start + len(values))
        )
        values += value if len(value) > 4 else b""
        entries += struct.pack("<HHI", tag, kind, count) + inline
    directory = struct.pack("<H", len(tags)) + entries + b"\0\0\0\0"
    return b"Exif\0\0II*\0\x08\0\0\0" + directory + values
