"""Measure how far dlib's recogniser is moved on each face of a layer, beside noise."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artscraper_runner.attacks.evaluation import random_signs
from artscraper_runner.attacks.transforms import to_picture, to_pixels
from artscraper_runner.faces.detection import Face, landmark_alignment
from artscraper_runner.faces.fawkes_published import dssim
from artscraper_runner.faces.geometry import aligned_face
from artscraper_runner.faces.network import CHIP_SIDE, SAME_PERSON, distances, face_network
from artscraper_runner.faces.recognisers import Recogniser
from artscraper_runner.types import Json

Pixels = NDArray[np.uint8]
Array = NDArray[np.float32]
_CONTEXT = 1.6  # of the recogniser's square: what is cut out to be compressed and halved
_LARGEST_SIDE = 4 * CHIP_SIDE  # px of the square; larger faces are measured in a smaller copy
_GRID = 16  # px; JPEG's blocks with halved colour
_JPEG_QUALITY = 75


def _through_jpeg(pixels: Pixels) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_JPEG_QUALITY)
    return np.array(Image.open(file).convert("RGB"))


def _halved(pixels: Pixels) -> Pixels:
    size = (max(1, pixels.shape[1] // 2), max(1, pixels.shape[0] // 2))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


_VIEWS: dict[str, Callable[[Pixels], Pixels]] = {
    "plain": lambda pixels: pixels,
    "jpeg_75": _through_jpeg,
    "halved": _halved,
}


def face_records(
    original: Pixels,
    changed: Pixels,
    faces: tuple[Face, ...],
    *,
    recogniser: Recogniser | None = None,
) -> list[Json]:
    """Return one record a face, pictures being uint8 (H, W, 3).

    `box` left, top, width, height in px. A face whose square is over 600 px wide is measured in a
    copy of both pictures that is `shrunk` times smaller, 1 = none, and its noise is drawn there,
    which is more than noise at full size would leave. `distance` by view: of the embedding from
    that of the unchanged original, landmarks being found anew in the changed picture;
    `noise_distance` that of random signs of the same mean square error; `is_another_person`
    whether it reaches dlib's threshold. `dssim` is that of the aligned face. With another
    `recogniser`, `attacked_distance` is what it sees, by view.

    Raises:
        MissingDependency, UnusableModel: the recogniser cannot be had.
    """
    return [_record(original, changed, face, recogniser) for face in faces]


def _record(original: Pixels, changed: Pixels, face: Face, recogniser: Recogniser | None) -> Json:
    rows, columns = _surroundings(face, original.shape[:2])
    shrunk = _shrinking(face.alignment.side)
    before, after = (_shrunk(pixels[rows, columns], shrunk) for pixels in (original, changed))
    alignment = face.alignment.in_copy(1 / shrunk, 1 / shrunk, left=columns.start, top=rows.start)
    left, top, width, height = face.box
    in_copy = (left - columns.start, top - rows.start, width, height)
    box = tuple(side / shrunk for side in in_copy)
    noise = to_pixels(random_signs(to_picture(before), like=to_picture(after)))
    views = [view(pixels) for pixels in (after, noise) for view in _VIEWS.values()]
    chips = [aligned_face(before, alignment), *(_found_face(view, before, box) for view in views)]
    changed_face = aligned_face(after, alignment)
    moved = _distances(face_network(), chips)
    distance = dict(zip(_VIEWS, moved[: len(_VIEWS)], strict=True))
    seen = [] if recogniser is None else _distances(recogniser, chips[: len(_VIEWS) + 1])
    return {
        "box": list(face.box),
        "shrunk": shrunk,
        "distance": distance,
        "noise_distance": dict(zip(_VIEWS, moved[len(_VIEWS) :], strict=True)),
        "threshold": SAME_PERSON,
        "is_another_person": {name: value >= SAME_PERSON for name, value in distance.items()},
        "dssim": round(dssim(chips[0], changed_face), 5),
        **({"attacked_distance": dict(zip(_VIEWS, seen, strict=True))} if seen else {}),
    }


def _distances(recogniser: Recogniser, chips: list[Array]) -> list[float]:
    """Return the distance of each aligned face but the first from that."""
    embeddings = recogniser.embeddings(np.concatenate(chips))
    return [round(float(each), 4) for each in distances(embeddings[1:], embeddings[:1])]


def _shrinking(side: float) -> int:
    """Return by how much a face with such a square is reduced for measuring, a power of two."""
    shrunk = 1
    while side / shrunk > _LARGEST_SIDE:
        shrunk *= 2
    return shrunk


def _shrunk(pixels: Pixels, shrunk: int) -> Pixels:
    if shrunk == 1:
        return pixels
    return np.array(Image.fromarray(np.ascontiguousarray(pixels)).reduce(shrunk))


def _found_face(view: Pixels, whole: Pixels, box: tuple[float, ...]) -> Array:
    """Return the aligned face in `box` of `whole`, in a `view` that may be smaller than that."""
    scale_x, scale_y = view.shape[1] / whole.shape[1], view.shape[0] / whole.shape[0]
    left, top, width, height = box
    smaller = (left * scale_x, top * scale_y, width * scale_x, height * scale_y)
    x, y, w, h = map(round, smaller)
    return aligned_face(view, landmark_alignment(view, (x, y, max(1, w), max(1, h))))


def _surroundings(face: Face, size: tuple[int, int]) -> tuple[slice, slice]:
    """Return the rows and columns of the face, its box and a margin, aligned to JPEG's grid."""
    left, top, width, height = face.box
    box = [(left, top), (left + width, top + height)]
    corners = np.vstack([face.alignment.corners(_CONTEXT), box])
    low = np.clip(np.floor(corners.min(0)), 0, None).astype(int) // _GRID * _GRID
    high = np.ceil(corners.max(0)).astype(int)
    start_x, start_y = (min(int(a), side - 1) for a, side in zip(low, size[::-1], strict=True))
    stop_x, stop_y = (min(int(a), side) for a, side in zip(high, size[::-1], strict=True))
    return slice(start_y, max(start_y + 1, stop_y)), slice(start_x, max(start_x + 1, stop_x))
