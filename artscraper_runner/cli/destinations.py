"""Decide where the result of each picture is written before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from artscraper_runner.errors import InvalidOption
from artscraper_runner.imaging.decode import open_picture
from artscraper_runner.imaging.encode import layer_format
from artscraper_runner.options import PictureLimits
from artscraper_runner.pipeline.folders import (
    PICTURE_SUFFIXES,
    folder_pictures,
    result_folders,
    same_format,
    unused_name,
)


@dataclass(frozen=True)
class Destination:
    """One picture and its result.

    `target` is the file of the protected picture or, with `all_layers`, a folder for every layer.
    """

    image: Path
    target: Path
    all_layers: bool = False


def plan(
    images: Sequence[Path], *, output: Path | None, out: Path | None, overwrite: bool
) -> list[Destination]:
    """Return each picture with its destination.

    `output` is a file for one picture and a folder of pictures otherwise; `out` is a folder of
    complete results. An `out` with a picture's suffix is treated as `output`.

    Raises:
        InvalidOption: no picture, a result that exists, a file name of another format, or a file
            for several pictures.
    """
    if out is not None and output is None and _is_picture_name(out) and not out.is_dir():
        output, out = out, None
    several = len(images) > 1 or images[0].is_dir()
    pictures = _expand(images)
    if output is None:
        planned = _result_folders(pictures, out, several=several)
    elif several and _is_picture_name(output) and not output.is_dir():
        raise InvalidOption(
            f"--output: expected a folder for several pictures, found {output.name}"
        )
    elif several or output.is_dir() or not output.suffix:
        planned = files_in(pictures, output)
    else:
        _check_format(pictures[0], output)
        planned = [Destination(pictures[0], output)]
    for each in planned:
        _check_free(each, overwrite=overwrite)
    return planned


def files_in(pictures: Sequence[Path], folder: Path) -> list[Destination]:
    """Return a file in `folder` for each picture; equal names get a number, and never collide."""
    taken: set[str] = set()
    planned = []
    for picture in pictures:
        suffix = expected_suffix(picture)
        name = Path(picture.name if same_format(picture, suffix) else picture.name + suffix)
        planned.append(Destination(picture, folder / unused_name(name.stem, name.suffix, taken)))
    return planned


def expected_suffix(picture: Path) -> str:
    """Return the suffix of the format that `picture` is saved in, such as .jpg.

    Raises:
        PictureError: the picture cannot be opened.
    """
    return layer_format(open_picture(picture, PictureLimits()), picture).suffix


def _result_folders(pictures: list[Path], out: Path | None, *, several: bool) -> list[Destination]:
    if out is not None and not several:
        return [Destination(pictures[0], out, all_layers=True)]
    folders = result_folders(pictures, out or Path("outputs"))
    return [Destination(picture, folder, all_layers=True) for picture, folder in folders]


def _expand(images: Sequence[Path]) -> list[Path]:
    pictures: list[Path] = []
    for image in images:
        pictures += folder_pictures(image) if image.is_dir() else [image]
    if not pictures:
        known = ", ".join(sorted(PICTURE_SUFFIXES))
        raise InvalidOption(f"expected pictures ({known}), found none in {images[0]}")
    return list(dict.fromkeys(pictures))


def _is_picture_name(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES


def _check_format(picture: Path, output: Path) -> None:
    suffix = expected_suffix(picture)
    if not same_format(output, suffix):
        raise InvalidOption(
            f"--output: expected a name that ends in {suffix}, the format in which"
            f" {picture.name} is saved; found {output.name}"
        )


def _check_free(destination: Destination, *, overwrite: bool) -> None:
    target = destination.target
    if destination.all_layers:
        if (target / "summary.json").exists() and not overwrite:
            raise InvalidOption(f"{target} holds results; choose another --out, or add --overwrite")
        return
    if target.exists() and target.samefile(destination.image):
        raise InvalidOption(f"{target} is the picture itself; choose another name")
    if target.exists() and not overwrite:
        raise InvalidOption(f"{target} exists; choose another name, or add --overwrite")
