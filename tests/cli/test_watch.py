"""`watch`: what appears in a folder is protected once, and only when it is complete."""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from artscraper_runner.cli.main import main
from artscraper_runner.cli.protect import protect_one
from artscraper_runner.cli.watch import FolderWatch

QUICK = ("--stages", "photoguard")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "in").mkdir()
    return tmp_path / "in", tmp_path / "out"


@pytest.fixture
def art(textured: Any, tmp_path: Path) -> bytes:
    path = tmp_path / "made.png"
    Image.fromarray(textured[30:70, 40:104]).save(path)
    return path.read_bytes()


def due(watch: FolderWatch) -> list[str]:
    return [each.image.name for each in watch.due()]


def test_file_is_due_once_it_is_stable(folders: tuple[Path, Path], art: bytes) -> None:
    watch = FolderWatch(*folders)
    picture = folders[0] / "a.png"
    picture.write_bytes(art[: len(art) // 2])
    assert due(watch) == []
    picture.write_bytes(art)
    assert due(watch) == [], "it has changed since the look before"
    assert due(watch) == ["a.png"]


def test_empty_and_hidden_files_are_never_due(folders: tuple[Path, Path], art: bytes) -> None:
    (folders[0] / "empty.png").touch()
    (folders[0] / ".part.png").write_bytes(art)
    watch = FolderWatch(*folders)
    assert [due(watch) for _ in range(3)] == [[], [], []]


def test_damaged_file_is_reported_once_per_change(
    folders: tuple[Path, Path], art: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = folders[0] / "a.png"
    picture.write_bytes(b"no picture")
    watch = FolderWatch(*folders)
    assert [due(watch) for _ in range(4)] == [[]] * 4
    assert capsys.readouterr().err.count("a.png") == 1
    picture.write_bytes(art)
    assert [due(watch) for _ in range(2)] == [[], ["a.png"]]


def test_once_protects_existing_files_only_once(
    folders: tuple[Path, Path], art: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = folders
    (source / "a.png").write_bytes(art)
    command = ["watch", str(source), str(target), "--once", *QUICK]
    assert main(command) == 0
    assert (target / "a.png").read_bytes() != art
    assert "saved to" in capsys.readouterr().out
    assert main(command) == 0
    assert capsys.readouterr().out == ""
    later = time.time_ns() + 10**9
    os.utime(source / "a.png", ns=(later, later))
    assert main(command) == 0
    assert "saved to" in capsys.readouterr().out


def test_slowly_written_file_is_protected_whole(folders: tuple[Path, Path], art: bytes) -> None:
    source, target = folders
    ended = threading.Event()

    def write_slowly() -> None:
        with (source / "a.png").open("wb") as file:
            for start in range(0, len(art), 1 + len(art) // 5):
                file.write(art[start : start + 1 + len(art) // 5])
                file.flush()
                time.sleep(0.08)
        deadline = time.monotonic() + 120
        while not (target / "a.png").exists() and time.monotonic() < deadline:
            if ended.wait(0.05):
                return
        handler = signal.getsignal(signal.SIGTERM)
        if callable(handler):  # called, not sent: a signal that nothing handles ends the tests
            handler(signal.SIGTERM, None)
        else:
            _thread.interrupt_main()

    handlers = [(each, signal.getsignal(each)) for each in (signal.SIGTERM, signal.SIGINT)]
    writer = threading.Thread(target=write_slowly)
    writer.start()
    try:
        assert main(["watch", str(source), str(target), "--every", "0.1", *QUICK]) == 0
    finally:
        ended.set()
        writer.join()
        for number, handler in handlers:
            signal.signal(number, handler)
    with Image.open(target / "a.png") as result:
        assert result.size == (64, 40)


def test_watch_skips_half_written_file(
    folders: tuple[Path, Path], art: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = folders
    command = ["watch", str(source), str(target), "--once", *QUICK]
    for name, content in (("half.png", art[: len(art) // 2]), ("good.png", art)):
        (source / name).write_bytes(content)
    assert main(command) == 1
    captured = capsys.readouterr()
    assert "half.png" in captured.err and "good.png" in captured.out
    assert [path.name for path in target.iterdir()] == ["good.png"]
    (source / "half.png").write_bytes(art)
    assert main(command) == 0
    with Image.open(target / "half.png") as result:
        assert result.size == (64, 40)


def test_watch_survives_removed_file(
    folders: tuple[Path, Path],
    art: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folders[0] / "a.png").write_bytes(art)
    (folders[0] / "b.png").write_bytes(art)
    watch = FolderWatch(*folders)
    assert due(watch) == []
    find = FolderWatch._destination

    def find_and_lose(self: FolderWatch, path: Path) -> Any:
        found = find(self, path)
        if path.name == "a.png":
            path.unlink()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(FolderWatch, "_destination", find_and_lose)
        assert due(watch) == ["b.png"]

    def lose_and_protect(destination: Any, *arguments: Any, **options: Any) -> bool:
        if destination.image.name == "a.png":
            destination.image.unlink()
        return protect_one(destination, *arguments, **options)

    (folders[0] / "a.png").write_bytes(art)
    monkeypatch.setattr("artscraper_runner.cli.watch.protect_one", lose_and_protect)
    assert main(["watch", *map(str, folders), "--once", *QUICK]) == 1
    assert "a.png" in capsys.readouterr().err
    assert [path.name for path in folders[1].iterdir()] == ["b.png"]


@pytest.mark.parametrize(("source", "target"), [("missing", "out"), ("in", "in")])
def test_invalid_watch_folders_are_refused(
    folders: tuple[Path, Path], source: str, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folders[0].parent
    assert main(["watch", str(root / source), str(root / target), "--once"]) == 2
    assert "expected" in capsys.readouterr().err
