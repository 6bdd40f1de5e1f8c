"""Statements in files are found, and hostile content does not break the JSON."""

import io
import json
import struct
from pathlib import Path

import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin, TiffImagePlugin

from artscraper_runner.types import Json
from tests.processors.opened import processed

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" plus:DataMining='
    b'"http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-AIMLTRAINING"/></rdf:RDF></x:xmpmeta>'
)


def metadata(path: Path) -> Json:
    data = processed("metadata", path)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert "\\u0000" not in json.dumps(data)
    return data


def saved(folder: Path, format_name: str, **options: object) -> Path:
    path = folder / f"picture.{format_name.lower()}"
    Image.new("RGB", (20, 10), "teal").save(path, format_name, **options)
    return path


def test_basic_properties_are_reported(tmp_path: Path) -> None:
    path = saved(tmp_path, "PNG", dpi=(300, 300))
    data = metadata(path)
    facts = {key: data[key] for key in ("format", "width", "height", "mode", "frames")}
    assert facts == {"format": "PNG", "width": 20, "height": 10, "mode": "RGB", "frames": 1}
    assert data["file_size"] == path.stat().st_size
    assert data["dpi"] == pytest.approx([300, 300], abs=0.01)
    assert data["ai_use"]["c2pa"] == {"manifest": False, "validation_state": None}


def test_exif_fields_have_names_and_json_values(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Zo~~ ------"  # Pillow writes ASCII only
    exif[ExifTags.Base.XPTitle] = "Titel".encode("utf-16-le") + b"\0\0"
    exif[ExifTags.Base.Make] = "NUL\0inside"
    exif[0xC123] = b"\xff\xfe\x00broken"
    sub = exif.get_ifd(ExifTags.IFD.Exif)
    sub[ExifTags.Base.ExposureTime] = TiffImagePlugin.IFDRational(1, 250)
    sub[ExifTags.Base.FNumber] = TiffImagePlugin.IFDRational(5, 0)
    sub[ExifTags.Base.UserComment] = b"ASCII\0\0\0hello"
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitude] = (48.0, 12.0, 30.5)
    raw = exif.tobytes().replace(b"Zo~~ ------", "Zoë 漢字".encode())
    fields = metadata(saved(tmp_path, "JPEG", exif=raw))["exif"]
    assert fields["Artist"] == "Zoë 漢字"
    assert fields["XPTitle"] == "Titel"
    assert fields["Make"].startswith("NUL")
    assert "0xc123" in fields
    assert fields["Exif"]["ExposureTime"] == pytest.approx(1 / 250)
    assert fields["Exif"]["FNumber"] is None
    assert fields["Exif"]["UserComment"] == "hello"
    assert fields["GPS"]["GPSLatitude"] == [48.0, 12.0, 30.5]
    assert "ExifOffset" not in fields


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("marked", [False, True])
def test_unicode_comment_follows_the_byte_order(order: str, marked: bool, tmp_path: Path) -> None:
    comment = ("\ufeff" * marked + "Größe 漢").encode("utf-16-le" if order == "<" else "utf-16-be")
    field = b"UNICODE\0" + comment
    exif = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    exif += struct.pack(f"{order}HHHIII", 1, 0x8769, 4, 1, 26, 0)  # the pointer to Exif's fields
    exif += struct.pack(f"{order}HHHIII", 1, 0x9286, 7, len(field), 44, 0) + field
    fields = metadata(saved(tmp_path, "JPEG", exif=b"Exif\0\0" + exif))["exif"]
    assert fields["Exif"]["UserComment"] == "Größe 漢"


@pytest.mark.parametrize("cut", range(6, 60, 6))
def test_damaged_exif_keeps_the_rest(cut: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody with a name"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"text"
    damaged = exif.tobytes()[:cut]
    assert metadata(saved(tmp_path, "JPEG", exif=damaged))["width"] == 20


def test_profile_text_and_comment_are_reported(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "me")
    text.add_itxt("Tîtle", "漢" * 5000)
    data = metadata(saved(tmp_path, "PNG", icc_profile=profile, pnginfo=text))
    assert data["icc_profile"] == "sRGB built-in"
    assert data["text"]["Author"] == "me"
    assert data["text"]["Tîtle"] == "漢" * 2000
    assert metadata(saved(tmp_path, "JPEG", comment=b"a \xff note"))["text"] == {
        "comment": "a \ufffd note"
    }
    assert metadata(saved(tmp_path, "PNG", icc_profile=b"nonsense"))["icc_profile"] == "unreadable"


@pytest.mark.parametrize("format_name", ["JPEG", "WEBP", "AVIF", "PNG", "TIFF"])
def test_data_mining_statement_is_read_from_every_format(format_name: str, tmp_path: Path) -> None:
    options: dict[str, object] = {"xmp": XMP}
    if format_name == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options = {"pnginfo": text}
    elif format_name == "TIFF":
        directory = TiffImagePlugin.ImageFileDirectory_v2()
        directory[700] = XMP
        options = {"tiffinfo": directory}
    data = metadata(saved(tmp_path, format_name, **options))
    assert data["ai_use"]["data_mining"] == "DMI-PROHIBITED-AIMLTRAINING"
    assert data["xmp"].startswith("<x:xmpmeta")


def test_frames_are_counted(tmp_path: Path) -> None:
    frames = [Image.new("L", (9, 9), grey) for grey in (0, 80, 160)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert metadata(tmp_path / "a.gif")["frames"] == 3


def test_orientation_is_reported_with_the_stored_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = metadata(saved(tmp_path, "JPEG", exif=exif))
    assert (data["width"], data["height"], data["orientation"]) == (20, 10, 6)


def test_cmyk_jpeg_and_palette_with_alpha_are_reported(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("CMYK", (8, 8)).save(file, "JPEG")
    (tmp_path / "c.jpg").write_bytes(file.getvalue())
    assert metadata(tmp_path / "c.jpg")["mode"] == "CMYK"
    palette = Image.new("P", (8, 8))
    palette.save(tmp_path / "p.png", transparency=bytes(range(256)))
    assert metadata(tmp_path / "p.png")["mode"] == "P"
