"""`protect` in three lines of Python."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from artscraper_runner import InvalidOption, PictureError, protect


@pytest.fixture
def art(textured: Any, tmp_path: Path) -> Path:
    path = tmp_path / "art.png"
    Image.fromarray(textured[30:70, 40:104]).save(path)
    return path


def test_picture_is_protected_and_saved(art: Path, tmp_path: Path) -> None:
    result = protect(art, strength="medium", stages=("photoguard",))
    out = result.save(tmp_path / "new" / "out.png")
    change = np.asarray(Image.open(out)).astype(int) - np.asarray(Image.open(art))
    assert 0 < np.abs(change).max() <= 8
    assert result.summary["layers"][1]["metrics"]["strength"] == "medium"
    assert result.verdict.startswith("the change is ")
    layer = result.path
    assert layer.is_file()
    del result
    gc.collect()
    assert not layer.exists()


def test_existing_file_is_not_overwritten(art: Path, tmp_path: Path) -> None:
    result = protect(art, stages=())
    out = result.save(tmp_path / "out.png")
    with pytest.raises(FileExistsError, match=r"out\.png exists"):
        result.save(out)
    assert result.save(out, overwrite=True) == out
    assert result.verdict == "not protected: no stage was applied"


def test_name_of_another_format_is_refused(art: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"ends in \.png"):
        protect(art, stages=()).save(tmp_path / "out.jpg")


def test_unknown_option_lists_valid_ones(art: Path) -> None:
    with pytest.raises(InvalidOption, match=r"unknown option .power.; valid: .*strength"):
        protect(art, power="medium")


def test_files_without_a_picture_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(PictureError):
        protect(tmp_path / "a.png")
