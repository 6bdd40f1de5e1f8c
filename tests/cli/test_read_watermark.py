"""`read-watermark` prints one JSON line an image."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from artscraper_runner.cli.main import main
from artscraper_runner.watermarks.tiled_spread_spectrum import embed
from tests.watermarks.pictures import painting


def test_every_image_has_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"marked.png": embed(painting(300, 300), b"artist 7!!"), "clean.png": painting(64, 64)}
    for name, pixels in names.items():
        Image.fromarray(pixels).save(tmp_path / name)
    paths = [str(tmp_path / name) for name in names]
    assert main(["read-watermark", *paths]) == 0
    marked, clean = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert list(marked) == ["image", "payload", "text", "confidence"]
    assert (marked["image"], marked["text"]) == (paths[0], "artist 7!!")
    assert bytes.fromhex(marked["payload"]) == b"artist 7!!"
    assert 0.5 < marked["confidence"] <= 1
    assert clean == {"image": paths[1], "payload": None, "text": None, "confidence": 0.0}


def test_broken_image_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    Image.fromarray(painting(40, 40)).save(tmp_path / "fine.png")
    assert main(["read-watermark", str(tmp_path / "broken.png"), str(tmp_path / "fine.png")]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    assert "broken.png" in captured.err


def test_protect_embeds_the_requested_text(tmp_path: Path) -> None:
    Image.fromarray(painting(300, 300)).save(tmp_path / "a.png")
    arguments = ["protect", str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]
    arguments += ["--no-analysis", "--stages", "invisible-watermark", "--watermark-text", "me"]
    assert main(arguments) == 0
    layers = json.loads((tmp_path / "out" / "summary.json").read_text())["layers"]
    assert layers[1]["metrics"]["text"] == "me"
    assert main([*arguments[:-1], "more than ten"]) == 2


@pytest.mark.system
def test_unusual_file_names_and_terminals_are_handled(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    odd = os.fsencode(folder) + b"/a\xff.png"
    text = "日本".encode().ljust(10, b"\0")
    Image.fromarray(embed(painting(300, 300), text)).save(folder / "a.png")
    (folder / "a.png").rename(os.fsdecode(odd))
    for command in (
        [b"read-watermark", odd],
        [b"analyse", odd],
        [b"analyse", odd, b"--json-out", os.fsencode(tmp_path / "analysis.json")],
        [b"protect", odd, b"--stages", b"fourier-ring", b"--out", os.fsencode(tmp_path / "out")],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "artscraper_runner", *command],
            env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        if command[0] == b"read-watermark":
            assert json.loads(done.stdout)["text"] == "日本"
    assert json.loads((tmp_path / "analysis.json").read_text())["image_path"].endswith(
        "a\udcff.png"
    )


@pytest.mark.system
def test_closed_pipe_ends_output_quietly(tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(painting(40, 40)).save(tmp_path / f"{number}.png")
    command = [sys.executable, "-m", "artscraper_runner", "read-watermark"]
    images = map(str, sorted(tmp_path.glob("*.png")))
    with subprocess.Popen(
        [*command, *images], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1
