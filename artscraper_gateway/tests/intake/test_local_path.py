"""Local paths that try to leave the roots, or to name what is not a plain file."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from artscraper_gateway.errors import UnusableLocalPath
from artscraper_gateway.intake.local_path import open_local

PICTURE = bytes(range(256)) * 2_000


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A working directory with a root `input`, and files beside it that must not be read."""
    home = tmp_path / "home"
    (home / "input" / "folder").mkdir(parents=True)
    (home / "input" / "a.png").write_bytes(PICTURE)
    (home / "input" / "folder" / "b.png").write_bytes(b"b")
    (home / "input2").mkdir()
    (home / "input2" / "c.png").write_bytes(b"secret")
    (home / "secret.png").write_bytes(b"secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.png").write_bytes(b"secret")
    (tmp_path / "outside" / "b.png").write_bytes(b"secret")
    return home


def read(path: str, home: Path, *, roots: tuple[Path, ...] = (Path("input"),)) -> bytes:
    with open_local(path, roots=roots, cwd=home) as file:
        return file.read()


def detail(path: str, home: Path, *, roots: tuple[Path, ...] = (Path("input"),)) -> str:
    with pytest.raises(UnusableLocalPath) as caught:
        read(path, home, roots=roots)
    return caught.value.detail


@pytest.fixture
def descriptors(tmp_path: Path) -> Iterator[None]:
    """Fail a test that leaves a descriptor open, here or on the root of the file system.

    Servers that other tests run in this process open others meanwhile.
    """

    def opened() -> list[str]:
        targets = []
        for entry in Path("/proc/self/fd").glob("*"):
            with contextlib.suppress(OSError):  # closed since it was listed
                targets.append(str(entry.readlink()))
        return sorted(each for each in targets if each == "/" or each.startswith(str(tmp_path)))

    before = opened()
    yield
    assert opened() == before


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("input/a.png", PICTURE),
        ("./input/./a.png", PICTURE),
        ("input/folder/b.png", b"b"),
        ("input/folder/../a.png", PICTURE),
        ("input/../input/a.png", PICTURE),
    ],
)
def test_file_inside_root_is_read(home: Path, path: str, content: bytes) -> None:
    assert read(path, home) == content
    assert read(str(home / path), home) == content


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/etc/shadow",
        "/proc/self/environ",
        "/dev/zero",
        "/dev/stdin",
        "missing.png",
        "input/missing.png",
        "input/missing/a.png",
        "a.png",
        "secret.png",
        "input2/c.png",
        "../outside/secret.png",
        "input/../secret.png",
        "input/../../outside/secret.png",
        "input/folder/../../secret.png",
        "input/a.png/../../secret.png",
        "../" * 40 + "etc/passwd",
        "input",
        "input/",
        "input/folder",
        ".",
        "..",
        "/",
        "",
        "\x00",
        "input/a.png\x00",
        "input/a.png\x00.png",
        "input/\udcff.png",
        "\ud800",
        "input/" + "a" * 256,
        "a" * 5_000,
        "./" * 100_000 + "input/a.png",
        "~",
        "~/input/a.png",
        "~root/.bashrc",
        "$HOME/a.png",
        "input/*.png",
        "file:///etc/passwd",
        "input\\a.png",
        " input/a.png",
        "input/a.png ",
    ],
)
def test_unusable_paths_get_equal_errors(home: Path, path: str) -> None:
    message = detail(path, home)
    assert message == detail("input/missing.png", home)
    assert str(home) not in message


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize(
    ("link", "target", "path"),
    [
        ("input/link.png", "../secret.png", "input/link.png"),
        ("input/link.png", "/etc/passwd", "input/link.png"),
        ("input/link.png", "missing.png", "input/link.png"),
        ("input/link.png", "link.png", "input/link.png"),
        ("input/link", "../../outside", "input/link/secret.png"),
        ("input/folder/link", "../..", "input/folder/link/secret.png"),
        ("input/link", "../input2", "input/link/c.png"),
        ("input/link", "/proc/self/root", "input/link/etc/passwd"),
    ],
)
def test_link_leaving_root_is_refused(home: Path, link: str, target: str, path: str) -> None:
    (home / link).symlink_to(target)
    assert detail(path, home) == detail("input/missing.png", home)


def test_long_chain_of_links_is_refused(home: Path) -> None:
    for step in range(2_000):
        (home / "input" / f"{step}.png").symlink_to(f"{step + 1}.png")
    (home / "input" / "2000.png").symlink_to("../secret.png")
    detail("input/0.png", home)


@pytest.mark.parametrize(
    ("link", "target", "path"),
    [
        ("input/link.png", "a.png", "input/link.png"),
        ("input/link", "folder", "input/link/b.png"),
        ("elsewhere", "input", "elsewhere/a.png"),
        ("input/folder/link", "../..", "input/folder/link/input/a.png"),
    ],
)
def test_link_ending_inside_root_is_followed(home: Path, link: str, target: str, path: str) -> None:
    (home / link).symlink_to(target)
    assert read(path, home) in (PICTURE, b"b")


def test_root_may_be_a_link(home: Path, tmp_path: Path) -> None:
    (home / "link").symlink_to(tmp_path / "outside")
    roots = (home / "no-such-folder", home / "input2", home / "link")
    assert read("input2/c.png", home, roots=roots) == b"secret"
    assert read("link/secret.png", home, roots=roots) == b"secret"
    assert read("../outside/secret.png", home, roots=roots) == b"secret"
    detail("input/a.png", home, roots=roots)


def test_no_roots_means_no_local_files(home: Path) -> None:
    detail("input/a.png", home, roots=())
    detail("input/a.png", home, roots=(home / "input" / "a.png",))


@pytest.mark.usefixtures("descriptors")
def test_pipes_sockets_and_devices_are_refused_at_once(home: Path) -> None:
    os.mkfifo(home / "input" / "pipe.png")
    (home / "input" / "device.png").symlink_to("/dev/zero")
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        place = os.open(home / "input", os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{place}/socket.png")
        os.close(place)
        for name in ("pipe.png", "socket.png", "device.png"):
            assert detail(f"input/{name}", home) == detail("input/missing.png", home)
    detail("/dev/zero", home, roots=(Path("/dev"),))


def test_irregular_files_are_not_opened(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, opened = os.open, []

    def note(path: Any, *args: Any, **options: Any) -> int:
        opened.append(path)
        return usual(path, *args, **options)

    os.mkfifo(home / "input" / "pipe.png")
    monkeypatch.setattr(os, "open", note)
    detail("input/pipe.png", home)
    read("input/a.png", home)
    assert opened == [str(home / "input"), str(home / "input"), "a.png"]


def test_unreadable_file_gets_equal_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = os.open

    def refuse(path: Any, *args: Any, **options: Any) -> int:
        if path == "a.png":
            raise PermissionError(13, "Permission denied")
        return usual(path, *args, **options)

    missing = detail("input/missing.png", home)
    monkeypatch.setattr(os, "open", refuse)
    assert detail("input/a.png", home) == missing


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize("moment", ["realpath", "stat"])
@pytest.mark.parametrize("trick", ["link", "pipe", "other file", "linked folder", "gone"])
def test_file_swapped_after_the_check_is_not_opened(
    home: Path, monkeypatch: pytest.MonkeyPatch, moment: str, trick: str
) -> None:
    folder = home / "input" / "folder"
    usual_stat, usual_realpath = os.stat, os.path.realpath

    def swap() -> None:
        monkeypatch.undo()
        if trick == "linked folder":
            folder.rename(home / "input" / "old")
            folder.symlink_to(home.parent / "outside")
            return
        (folder / "b.png").unlink()
        if trick == "link":
            (folder / "b.png").symlink_to(home / "secret.png")
        elif trick == "pipe":
            os.mkfifo(folder / "b.png")
        elif trick == "other file":
            os.link(home / "secret.png", folder / "b.png")

    def stat(*args: Any, **options: Any) -> os.stat_result:
        found = usual_stat(*args, **options)
        if options.get("dir_fd") is not None:
            swap()
        return found

    def realpath(path: Any, **options: Any) -> str:
        found = usual_realpath(path, **options)
        if str(path).endswith("b.png"):
            swap()
        return str(found)

    if moment == "stat":
        monkeypatch.setattr(os, "stat", stat)
    else:
        monkeypatch.setattr(os.path, "realpath", realpath)
    is_harmless = (moment, trick) in {("realpath", "other file"), ("stat", "linked folder")}
    if is_harmless:  # a regular file that stood in the root when it was opened
        read("input/folder/b.png", home)
    else:
        detail("input/folder/b.png", home)


def test_concurrent_swap_never_reveals_the_secret(home: Path) -> None:
    done = threading.Event()
    good, bad, turn = (home / "input" / name for name in ("good", "bad", "turn.png"))

    def flip() -> None:
        while not done.is_set():
            good.write_bytes(b"public")
            good.replace(turn)
            bad.symlink_to(home / "secret.png")
            bad.replace(turn)

    turn.write_bytes(b"public")
    thread = threading.Thread(target=flip)
    thread.start()
    seen = set()
    try:
        for _ in range(2_000):
            try:
                seen.add(read("input/turn.png", home))
            except UnusableLocalPath:
                seen.add(b"refused")
    finally:
        done.set()
        thread.join()
    assert b"secret" not in seen
