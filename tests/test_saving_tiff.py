"""A TIFF goes through the stages like any other picture, and keeps its author's fields."""

from pathlib import Path

from PIL import Image

from artscraper_runner import protect_picture
from artscraper_runner.protection_pipeline import WorkflowConfig

from .watermarks.pictures import painting


def test_a_tiff_is_saved_as_tiff_with_its_fields(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x013B] = "An Artist"
    Image.fromarray(painting(60, 80)).save(tmp_path / "a.tif", exif=exif)
    config = WorkflowConfig(("stegano-embed",))
    layer = protect_picture(tmp_path / "a.tif", tmp_path / "out", config=config)["layers"][1]
    assert layer["applied"]
    with Image.open(layer["path"]) as saved:
        assert (saved.format, saved.size) == ("TIFF", (80, 60))
        assert saved.getexif()[0x013B] == "An Artist"
