"""A TIFF goes through the stages like any other picture, and keeps its author's fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image, TiffImagePlugin

from artscraper_runner import protect_picture
from artscraper_runner.options import SigningSettings
from artscraper_runner.protection_pipeline import WorkflowConfig
from artscraper_runner.types import Json

from .watermarks.pictures import painting

ARTIST, COPYRIGHT, ORIENTATION, XMP = 0x013B, 0x8298, 0x0112, 700
X_RESOLUTION, Y_RESOLUTION, UNIT, CAMERA, ISO = 282, 283, 296, 0x8769, 34855
PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description xmlns:e="http://ns.adobe.com/exif/1.0/" e:GPSLatitude="48,1N"'
    b' e:Other="kept"/></rdf:RDF></x:xmpmeta>'
)


def layer_of(tmp_path: Path, stage: str, fields: dict[int, Any]) -> Json:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in fields.items():
        directory[tag] = value
    Image.fromarray(painting(60, 80)).save(tmp_path / "a.tif", tiffinfo=directory)
    config = WorkflowConfig((stage,), signing=SigningSettings(tmp_path / "keys"))
    summary = protect_picture(
        tmp_path / "a.tif", tmp_path / "out", config=config, include_hash_analysis=False
    )
    layer: Json = summary["layers"][1]
    assert layer["applied"], layer["reason"]
    return layer


@pytest.mark.parametrize("stage", ["stegano-embed", "c2pa"])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("has_camera", [False, True])
@pytest.mark.parametrize("has_xmp", [False, True])
def test_tiff_is_saved_as_tiff_with_its_fields(
    tmp_path: Path, stage: str, orientation: int, *, has_camera: bool, has_xmp: bool
) -> None:
    if stage == "c2pa":
        pytest.importorskip("c2pa", reason="needs the extra c2pa")
    fields = {ARTIST: "An Artist", COPYRIGHT: "hers", ORIENTATION: orientation}
    camera = {CAMERA: {ISO: 200}} if has_camera else {}
    layer = layer_of(tmp_path, stage, fields | camera | ({XMP: PACKET} if has_xmp else {}))
    with Image.open(layer["path"]) as saved:
        assert isinstance(saved, TiffImagePlugin.TiffImageFile)
        assert saved.size == ((80, 60) if orientation == 1 else (60, 80))  # Pillow turns it
        for tag, value in fields.items():
            assert saved.tag_v2.get(tag, 1) == value
        assert saved.getexif().get_ifd(CAMERA).get(ISO) == (200 if has_camera else None)
        xmp = saved.tag_v2.get(XMP, b"")
        assert (b'e:Other="kept"' in xmp) == has_xmp
        assert (b"DMI-PROHIBITED" in xmp) == (stage == "c2pa")
        assert b"GPS" not in xmp


@pytest.mark.parametrize("resolution", [(1, 0), (0, 0), (0, 1)])
def test_invalid_resolution_is_dropped(
    tmp_path: Path, resolution: tuple[int, int], capfd: pytest.CaptureFixture[str]
) -> None:
    value = TiffImagePlugin.IFDRational(*resolution)
    layer = layer_of(
        tmp_path, "stegano-embed", {X_RESOLUTION: value, Y_RESOLUTION: value, UNIT: 2, ARTIST: "A"}
    )
    with Image.open(layer["path"]) as saved:
        assert isinstance(saved, TiffImagePlugin.TiffImageFile)
        assert X_RESOLUTION not in saved.tag_v2 and Y_RESOLUTION not in saved.tag_v2
        assert saved.tag_v2[ARTIST] == "A"
    assert str(tmp_path) not in capfd.readouterr().err


@pytest.mark.parametrize(
    "fields",
    [
        {UNIT: 0, X_RESOLUTION: 300, Y_RESOLUTION: 300},
        {50_706: b"\1\4\0\0"},  # the version of a DNG
        {33_550: (1.0, 1.0, 0.0), 33_922: (0.0, 0.0, 0.0, 13.4, 52.5, 0.0)},  # GeoTIFF: a place
    ],
)
def test_other_tiff_fields_are_ignored(tmp_path: Path, fields: dict[int, Any]) -> None:
    layer = layer_of(tmp_path, "stegano-embed", {**fields, ARTIST: "A"})
    with Image.open(layer["path"]) as saved:
        assert isinstance(saved, TiffImagePlugin.TiffImageFile)
        saved.load()
        assert saved.tag_v2[ARTIST] == "A"
        assert not set(saved.tag_v2) & (set(fields) - {X_RESOLUTION, Y_RESOLUTION, UNIT})
        assert saved.tag_v2.get(UNIT, 2) in (1, 2, 3)
