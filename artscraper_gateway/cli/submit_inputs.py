"""The pictures that a command line names, and where the result of each goes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from artscraper_runner import PICTURE_SUFFIXES, printable, same_format


class UnusableArguments(ValueError):
    """No picture, or two results with the same name."""


def find_pictures(images: Sequence[str], out: Path, *, keep_all: bool) -> dict[Path, str]:
    """Return the pictures to send by the target of each, in order.

    Folders are searched recursively, except hidden names and `out`. The target is the picture's
    path relative to its folder, below `out`; with `keep_all` a folder of that name without suffix.

    Raises:
        UnusableArguments: no picture, two of the same target, or one that would be overwritten.
    """
    targets: dict[Path, str] = {}
    for image in images:
        for picture, relative in _named_by(image, out):
            target = out / (relative.with_suffix("") if keep_all else relative)
            if target in targets and targets[target] != picture:
                both = f"{printable(targets[target])} and {printable(picture)}"
                raise UnusableArguments(
                    f"{both} would both be written to {printable(str(target))};"
                    " submit them with two --out folders"
                )
            if Path(picture).exists() and target.exists() and target.samefile(picture):
                raise UnusableArguments(
                    f"{printable(picture)} would be overwritten; choose another --out"
                )
            targets[target] = picture
    if not keep_all:
        _check_names_by_format(targets)
    if not targets:
        known = ", ".join(sorted(PICTURE_SUFFIXES))
        raise UnusableArguments(f"expected pictures ({known}), found none")
    return targets


def named_by_format(target: Path, suffix: str) -> Path:
    """Return `target` with the suffix of the result's format; a fitting suffix is kept."""
    return target if same_format(target, suffix) else target.with_name(target.name + suffix)


def _check_names_by_format(targets: dict[Path, str]) -> None:
    """Refuse a.gif beside a.gif.png: the result of the first may be a PNG."""
    for target, picture in targets.items():
        other = target.with_suffix("")
        if other in targets and named_by_format(other, target.suffix) == target:
            raise UnusableArguments(
                f"{printable(targets[other])} and {printable(picture)} might both be written to"
                f" {printable(str(target))};"
                " submit them with two --out folders"
            )


def _named_by(image: str, out: Path) -> Iterator[tuple[str, Path]]:
    if image.lower().startswith(("http://", "https://")):
        name = PurePosixPath(unquote(urlsplit(image).path)).name
        yield image, Path(name if name not in ("", "..") else "picture")
    elif Path(image).is_dir():
        yield from _below(Path(image), out)
    elif Path(image).is_file():
        yield image, Path(Path(image).name)
    else:
        raise UnusableArguments(f"there is no file or folder {printable(image)}")


def _below(folder: Path, out: Path) -> Iterator[tuple[str, Path]]:
    results = out.resolve()
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (here / name).resolve() != results
        )
        for name in sorted(names):
            if Path(name).suffix.lower() in PICTURE_SUFFIXES and not name.startswith("."):
                yield str(here / name), (here / name).relative_to(folder)


def hidden_pictures(images: Sequence[str]) -> list[Path]:
    """Return the pictures that `find_pictures` skips because their names are hidden."""
    return [
        path
        for image in images
        if Path(image).is_dir()
        for path in sorted(Path(image).rglob("*"))
        if path.suffix.lower() in PICTURE_SUFFIXES
        and any(part.startswith(".") for part in path.relative_to(image).parts)
    ]
