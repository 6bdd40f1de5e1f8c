"""The destination of results, protection against overwriting, and the final line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.cli.main import main

QUICK = ("--stages", "photoguard", "--no-analysis", "--seed", "1")


@pytest.fixture
def art(textured: Any, tmp_path: Path) -> Path:
    path = tmp_path / "in" / "art.png"
    path.parent.mkdir()
    Image.fromarray(textured[30:70, 40:104]).save(path)
    return path


def test_out_file_receives_one_picture(
    art: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "out.png"
    assert main(["protect", str(art), "-o", str(out), *QUICK]) == 0
    assert sorted(tmp_path.rglob("*.png")) == [art, out]
    change = np.asarray(Image.open(out)).astype(int) - np.asarray(Image.open(art))
    assert 0 < np.abs(change).max() <= 8
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("art.png: the change is ")
    assert "times as far as noise" in line or "no farther than noise" in line
    assert line.endswith(f"; saved to {out}")


def test_every_note_of_the_summary_is_printed_in_full(
    art: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "a.gif"
    with Image.open(art) as image:
        image.save(source, save_all=True, append_images=[image.rotate(180)], comment=b"by Ada")
    assert main(["protect", str(source), "--out", str(tmp_path / "out"), *QUICK]) == 0
    (summary,) = (tmp_path / "out").rglob("summary.json")
    notes = json.loads(summary.read_text())["notes"]
    assert {note["action"] for note in notes} == {"dropped", "changed", "kept"}
    printed = capsys.readouterr().err
    for note in notes:
        assert f"note: {note['subject']} {note['action']}: {note['detail']}\n" in printed


def test_out_with_image_extension_is_a_file(art: Path, tmp_path: Path) -> None:
    assert main(["protect", str(art), "--out", str(tmp_path / "out.png"), *QUICK]) == 0
    assert (tmp_path / "out.png").is_file()


@pytest.mark.parametrize("option", ["--output", "--out"])
def test_file_for_several_pictures_is_refused(
    art: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    out = tmp_path / "out.png"
    for inputs in ([str(art), str(art)], [str(art.parent)]):
        assert main(["protect", *inputs, option, str(out), *QUICK]) == 2
        assert "expected a folder for several pictures, found out.png" in capsys.readouterr().err
    assert not out.exists()


def test_equal_names_do_not_collide_in_a_folder(art: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "art.png"
    other.parent.mkdir()
    Image.open(art).rotate(90).save(other)
    Image.open(art).save(art.with_suffix(".gif"))
    images = [str(art), str(other), str(art.with_suffix(".gif"))]
    assert main(["protect", *images, "-o", str(tmp_path / "out"), *QUICK]) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["art-2.png", "art.gif.png", "art.png"]


def test_pictures_of_one_stem_get_separate_folders(art: Path, tmp_path: Path) -> None:
    Image.open(art).save(art.with_suffix(".bmp"))
    out = tmp_path / "results"
    assert main(["protect", str(art.parent), "--out", str(out), *QUICK]) == 0
    assert sorted(path.parent.name for path in out.glob("*/summary.json")) == ["art", "art-2"]


@pytest.mark.parametrize("option", ["-o", "--out"])
def test_existing_result_needs_overwrite(
    art: Path, tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / ("out.png" if option == "-o" else "results")
    command = ["protect", str(art), option, str(out), *QUICK]
    assert main(command) == 0
    result = out if option == "-o" else out / "layers" / "01-photoguard" / "image.png"
    before = result.stat().st_ino
    (tmp_path / "first").hardlink_to(result)  # no new file can get the number of the first
    assert main(command) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert result.stat().st_ino == before
    assert main([*command, "--overwrite"]) == 0
    assert result.stat().st_ino != before


def test_input_is_never_overwritten(art: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = art.read_bytes()
    assert main(["protect", str(art), "-o", str(art), "--overwrite", *QUICK]) == 2
    assert main(["protect", str(art.parent), "-o", str(art.parent), "--overwrite", *QUICK]) == 2
    assert "is the picture itself" in capsys.readouterr().err
    assert art.read_bytes() == before


def test_out_file_of_another_format_is_refused_early(
    art: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["protect", str(art), "-o", str(tmp_path / "out.jpg"), *QUICK]) == 2
    output = capsys.readouterr().err
    assert "ends in .png" in output and "found out.jpg" in output and "[0/" not in output


def test_folder_without_pictures_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["protect", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "expected pictures" in capsys.readouterr().err


def test_terminal_sequences_in_names_are_escaped(
    art: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = art.rename(art.with_name("a\x1b[2J\n\u202egnp.png"))
    assert main(["protect", str(odd), "-o", str(tmp_path / "out.png"), *QUICK]) == 0
    assert capsys.readouterr().out.startswith("a\\x1b[2J\\n\\u202egnp.png: ")


def test_unreadable_picture_does_not_stop_the_others(
    art: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = art.with_name("broken.png")
    small.write_bytes(art.read_bytes()[:200])
    out = tmp_path / "results"
    assert main(["protect", str(small), str(art), "--out", str(out), *QUICK]) == 1
    assert "broken.png" in capsys.readouterr().err
    assert (out / "art" / "summary.json").is_file()
