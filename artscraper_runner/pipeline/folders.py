"""Folders of pictures: which files are pictures, and where their results are saved."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from artscraper_runner.errors import InvalidOption
from artscraper_runner.imaging.files import atomic_path

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".gif", ".bmp", ".avif"}
)
_SAME_FORMAT = {".jpeg": ".jpg", ".tiff": ".tif"}


def folder_pictures(folder: Path) -> list[Path]:
    """Return the pictures directly in `folder`, by their suffix, in the order of their names."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
    ]


def output_folder(image: Path, root: Path) -> Path:
    """Return a folder below `root` named after the picture, valid on every file system."""
    return root / (re.sub(r"[^\w.-]+", "-", image.stem).strip(".-")[:80] or "picture")


def result_folders(images: list[Path], root: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each picture with its result folder; a.jpg and a.png get different ones."""
    taken: set[str] = set()
    for image in images:
        folder = output_folder(image, root)
        yield image, folder.with_name(unused_name(folder.name, "", taken))


def unused_name(stem: str, suffix: str, taken: set[str]) -> str:
    """Return stem and suffix, with a number between them if the name is in `taken`, and add it.

    Names differ in more than case, as some file systems need.
    """
    name, number = stem + suffix, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}{suffix}"
    taken.add(name.casefold())
    return name


def save_protected(layer: Path, target: Path, *, overwrite: bool) -> Path:
    """Copy the file of a layer to `target`, whole or not at all; raises as `save`."""
    if not same_format(target, layer.suffix):
        raise InvalidOption(
            f"expected a name that ends in {layer.suffix}, the format of the protected picture;"
            f" found {target}"
        )
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists; choose another name or allow overwriting")
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as temporary:
        shutil.copyfile(layer, temporary)
    return target


def same_format(target: Path, suffix: str) -> bool:
    """Return whether the suffixes of `target` and `suffix` name one format."""
    target_suffix = target.suffix.lower()
    return _SAME_FORMAT.get(target_suffix, target_suffix) == _SAME_FORMAT.get(suffix, suffix)
