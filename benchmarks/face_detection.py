"""Print which faces are found, and what is taken for a face, in the sample pictures.

Run `python benchmarks/face_detection.py --images DIR` from the repository root; DIR holds the
sample pictures. Faces are also looked for in copies: small, compressed, turned, mirrored, dark.
"Frontal alone" is dlib's frontal detector on the picture at twice its size, as dlib's examples use
it.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from artscraper_runner.faces.detection import find_faces  # noqa: E402

Pixels = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # left, top, width and height in px
# Where the face is in each picture that has one.
FACES: dict[str, Box] = {
    "paintings/mona_lisa.jpg": (216, 175, 181, 181),
    "paintings/delaunay_portrait.jpg": (253, 472, 394, 394),
    "photos/kodak_04.png": (137, 279, 257, 257),
    "near-duplicates/mona_lisa_recoloured.jpg": (155, 129, 121, 121),
    "near-duplicates/mona_lisa_remix.jpg": (135, 112, 104, 104),
}
PORTRAIT, PORTRAIT_FACE = ROOT / "input" / "astronaut.jpg", (179, 84, 86, 86)


def _with_face_of(side: int) -> Callable[[Image.Image, Box], Image.Image]:
    def shrunk(image: Image.Image, face: Box) -> Image.Image:
        scale = side / face[2]
        size = (round(image.width * scale), round(image.height * scale))
        return image.resize(size, Image.Resampling.LANCZOS)

    return shrunk


def _compressed(image: Image.Image, _face: Box) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=30)
    return Image.open(file).convert("RGB")


def _turned(degrees: float) -> Callable[[Image.Image, Box], Image.Image]:
    def turned(image: Image.Image, face: Box) -> Image.Image:
        centre = (face[0] + face[2] / 2, face[1] + face[3] / 2)
        return image.rotate(degrees, Image.Resampling.BICUBIC, center=centre)

    return turned


COPIES: dict[str, Callable[[Image.Image, Box], Image.Image]] = {
    "as it is": lambda image, _: image,
    "face of 60 px": _with_face_of(60),
    "face of 45 px": _with_face_of(45),
    "face of 34 px": _with_face_of(34),
    "JPEG 30": _compressed,
    "turned by 15 degrees": _turned(15),
    "turned by 25 degrees": _turned(25),
    "mirrored": lambda image, _: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "dark": lambda image, _: ImageEnhance.Brightness(image).enhance(0.35),
}


def count_faces(pixels: Pixels) -> tuple[int, int]:
    """Return how many faces the stage finds, and the frontal detector alone."""
    alone = dlib.get_frontal_face_detector()(np.ascontiguousarray(pixels), 1)
    return len(find_faces(pixels)), len(alone)


def _print_row(name: str, faces: int, counts: Iterator[tuple[int, int]]) -> None:
    """Print found and false ones; a picture has one face at most."""
    rows = list(counts)
    wanted = 1 if faces else 0
    found, alone = (sum(min(row[which], wanted) for row in rows) for which in (0, 1))
    false, alone_false = (sum(max(row[which] - wanted, 0) for row in rows) for which in (0, 1))
    print(f"| {name} | {faces} | {found} | {false} | {alone} | {alone_false} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True)
    images = parser.parse_args().images
    faces = {images / name: box for name, box in FACES.items()} | {PORTRAIT: PORTRAIT_FACE}
    others = [path for path in sorted(images.rglob("*.*")) if path.suffix in (".png", ".jpg")]
    others = [path for path in others if path not in faces]
    print("| pictures | faces | found | false | frontal alone | false |\n|---|---|---|---|---|---|")
    for name, change in COPIES.items():
        copies = (change(Image.open(path).convert("RGB"), box) for path, box in faces.items())
        _print_row(name, len(faces), (count_faces(np.asarray(copy)) for copy in copies))
    for name, change in (("as they are", COPIES["as it is"]), ("mirrored", COPIES["mirrored"])):
        copies = (change(Image.open(path).convert("RGB"), (0, 0, 1, 1)) for path in others)
        counts = (count_faces(np.asarray(copy)) for copy in copies)
        _print_row(f"{len(others)} without a face, {name}", 0, counts)


if __name__ == "__main__":
    main()
