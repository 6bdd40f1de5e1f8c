"""Which pictures a command line names, and where the result of each goes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".gif", ".bmp", ".avif"}
)  # taken from folders; a file that is named is sent whatever it is called
_SAME_FORMAT = {".jpeg": ".jpg", ".tiff": ".tif"}


class UnusableArguments(ValueError):
    """There is nothing to send, or two results would have the same name."""


def find_pictures(images: Sequence[str], out: Path, *, keep_all: bool) -> dict[Path, str]:
    """Returns, in order, where each picture's result goes: what is sent, by its target.

    Folders are searched to their ends, but for hidden names and for `out`. The target is the
    picture's path below the folder that was named, under `out`; with `keep_all` a folder of that
    name without its suffix.

    Raises:
        UnusableArguments: no picture, two of the same target, or one that would be overwritten.
    """
    targets: dict[Path, str] = {}
    for image in images:
        for picture, relative in _named_by(image, out):
            target = out / (relative.with_suffix("") if keep_all else relative)
            if target in targets and targets[target] != picture:
                raise UnusableArguments(
                    f"{targets[target]} and {picture} would both be written to {target};"
                    " submit them with two --out folders"
                )
            if Path(picture).exists() and target.exists() and target.samefile(picture):
                raise UnusableArguments(f"{picture} would be overwritten; choose another --out")
            targets[target] = picture
    if not keep_all:
        _check_names_by_format(targets)
    if not targets:
        raise UnusableArguments(f"expected pictures ({', '.join(sorted(_SUFFIXES))}), found none")
    return targets


def named_by_format(target: Path, suffix: str) -> Path:
    """Returns `target` with the suffix of what is written there; a fitting one stays as it is."""
    given = target.suffix.lower()
    if _SAME_FORMAT.get(given, given) == suffix:
        return target
    return target.with_name(target.name + suffix)


def _check_names_by_format(targets: dict[Path, str]) -> None:
    """Refuses a.gif beside a.gif.png: the result of the first may be written as a PNG."""
    for target, picture in targets.items():
        other = target.with_suffix("")
        if other in targets and named_by_format(other, target.suffix) == target:
            raise UnusableArguments(
                f"{targets[other]} and {picture} might both be written to {target};"
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
        raise UnusableArguments(f"there is no file or folder {image}")


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
            if not name.startswith(".") and Path(name).suffix.lower() in _SUFFIXES:
                yield str(here / name), (here / name).relative_to(folder)
