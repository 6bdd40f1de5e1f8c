"""Copies of local files: counted, whole or not there at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from artscraper_gateway.errors import StorageFailed, TooLarge, UnusableLocalPath
from artscraper_gateway.intake.local_path import copy_local

pytestmark = pytest.mark.anyio

PROC = Path("/proc")
PICTURE = bytes(range(256)) * 2_000


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A working directory with the root `input` and one picture in it."""
    (tmp_path / "home" / "input").mkdir(parents=True)
    (tmp_path / "home" / "input" / "a.png").write_bytes(PICTURE)
    return tmp_path / "home"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """An empty folder to copy to."""
    (tmp_path / "job").mkdir()
    return tmp_path / "job"


def files(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def content(file: Path) -> bytes:
    return file.read_bytes()


async def copy(
    path: str, folder: Path, home: Path, *, root: Path = Path("input"), max_bytes: int = 10**6
) -> bytes:
    """Copy into `folder`; after an error it must be empty."""
    target = folder / "copy"
    try:
        size = await copy_local(path, target, roots=[root], cwd=home, max_bytes=max_bytes)
    except BaseException:
        assert files(folder) == []
        raise
    assert files(folder) == ["copy"]
    assert len(content(target)) == size
    return content(target)


async def test_file_of_exactly_the_limit_is_copied(home: Path, job: Path) -> None:
    copied = await copy("input/a.png", job, home, max_bytes=len(PICTURE))
    assert copied == PICTURE


async def test_file_one_byte_over_limit_is_too_large(home: Path, job: Path) -> None:
    with pytest.raises(TooLarge):
        await copy("input/a.png", job, home, max_bytes=len(PICTURE) - 1)


async def test_empty_file_is_copied(home: Path, job: Path) -> None:
    (home / "input" / "empty.png").write_bytes(b"")
    assert await copy("input/empty.png", job, home) == b""


@pytest.mark.skipif(not PROC.exists(), reason="needs files that are longer than they say")
async def test_copied_bytes_are_counted(home: Path, job: Path) -> None:
    assert (PROC / "version").stat().st_size == 0
    with pytest.raises(TooLarge):
        await copy("/proc/version", job, home, root=PROC, max_bytes=10)


@pytest.mark.skipif(not PROC.exists(), reason="needs a file that cannot be read")
async def test_unreadable_file_is_unusable(home: Path, job: Path) -> None:
    with pytest.raises(UnusableLocalPath) as caught:
        await copy("/proc/self/mem", job, home, root=PROC)
    with pytest.raises(UnusableLocalPath) as missing:
        await copy("input/missing.png", job, home)
    assert caught.value.detail == missing.value.detail


@pytest.mark.parametrize("path", ["/etc/passwd", "input/missing.png", "input"])
async def test_refused_path_leaves_no_copy(home: Path, job: Path, path: str) -> None:
    with pytest.raises(UnusableLocalPath):
        await copy(path, job, home)


async def test_missing_folder_is_a_server_error(home: Path, job: Path) -> None:
    target = job / "no" / "copy"
    with pytest.raises(StorageFailed):
        await copy_local("input/a.png", target, roots=[Path("input")], cwd=home, max_bytes=10**6)
