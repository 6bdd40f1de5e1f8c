"""Find faces: dlib's frontal detector (HOG, King 2009) and its five landmarks in each face.

Its doubtful candidates are confirmed by dlib's CNN detector (MMOD, King 2015, arXiv 1502.00046),
which is too slow to search with and quick on a crop.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artscraper_runner.attacks.run_cache import RunCache
from artscraper_runner.errors import MissingDependency
from artscraper_runner.faces.geometry import Alignment
from artscraper_runner.faces.network import (
    DETECTOR,
    DETECTOR_PACKAGE,
    INSTALL,
    LANDMARKS,
    model_file,
)

Pixels = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # left, top, width and height in px
MIN_FACE_SIDE = 30  # px of the box, in the picture; smaller ones are ignored
MAX_FACES = 64  # the largest ones
_DETECTED_SIDE = 80  # px; the smallest face that the detector finds
_LARGEST_ENLARGEMENT = 2.5
_SEARCHED_PIXELS = 4_000_000
_SEARCHED_SIDE = 8192  # px; a long strip
_SCALES = (1.0, 0.5)  # of the search: some large faces are found in the smaller copy only
_CANDIDATE, _CERTAIN = -0.4, 0.8  # the detector's certainty; between them a second one decides
_MAX_CONFIRMED = 48  # candidates, the most certain first
_SAME_FACE = 0.3  # intersection over union of two boxes
_SAME_CANDIDATE = 0.5  # the same, with one that was not confirmed: it would not be either
_CONFIRMED_SIDE, _CONTEXT = 100, 2.2  # px of the candidate's box; sides of the crop, in boxes
_CENTRED = 0.25  # of the crop's side: how far from its middle the confirmed face may be
_DLIB_LOCK = threading.RLock()  # dlib's detectors crash when two threads run one at once


@dataclass(frozen=True)
class Face:
    """A face: its box (left, top, width, height) in whole px, and its alignment."""

    box: Box
    alignment: Alignment


def find_faces(pixels: Pixels) -> tuple[Face, ...]:
    """Return the faces in uint8 (H, W, 3) sRGB, the largest first, MAX_FACES at most.

    A large picture is searched at a smaller size, a small one enlarged, and once more at half of
    that; the landmarks of what is found are looked for at full size. Candidates of low certainty
    count only if dlib's CNN detector finds a face there too. Faces under MIN_FACE_SIDE px, in the
    picture, are left out.

    Raises:
        MissingDependency: dlib or its weights are not installed.
    """
    with _DLIB_LOCK:
        return _found_faces(pixels)


def _found_faces(pixels: Pixels) -> tuple[Face, ...]:
    candidates = [row for row in _candidates(pixels) if min(row[0][2:]) >= MIN_FACE_SIDE]
    boxes: list[Box] = []
    rejected: list[Box] = []
    doubtful = 0
    for box, certainty in sorted(candidates, key=lambda row: (-row[1], row[0])):
        if any(_overlap(box, other) > _SAME_FACE for other in boxes):
            continue
        if certainty < _CERTAIN:
            if any(_overlap(box, other) > _SAME_CANDIDATE for other in rejected):
                continue
            doubtful += 1
            if doubtful > _MAX_CONFIRMED or not _is_confirmed(pixels, box):
                rejected.append(box)
                continue
        boxes.append(box)
    boxes.sort(key=lambda box: (-box[2] * box[3], box))
    return tuple(Face(box, landmark_alignment(pixels, box)) for box in boxes[:MAX_FACES])


def _candidates(pixels: Pixels) -> Iterator[tuple[Box, float]]:
    height, width = pixels.shape[:2]
    largest = _search_scale(height, width)
    for scale in (largest * share for share in _SCALES):
        for rectangle, certainty in _detected(_scaled(pixels, scale)):
            yield _box(rectangle, scale), certainty


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union, or the share of the smaller box that lies in the other, halved."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0, across) * max(0, down)
    areas = (a[2] * a[3], b[2] * b[3])
    return max(shared / (sum(areas) - shared), shared / min(areas) / 2)


def _is_confirmed(pixels: Pixels, box: Box) -> bool:
    """Return whether dlib's CNN detector finds a face in the middle of a crop around `box`."""
    left, top, width, height = box
    reach = max(width, height) * _CONTEXT / 2
    x, y = left + width / 2, top + height / 2
    edges = (round(x - reach), round(y - reach), round(x + reach), round(y + reach))
    side = round(_CONFIRMED_SIDE * _CONTEXT)
    crop = Image.fromarray(pixels).crop(edges)
    crop = crop.resize((side, side), Image.Resampling.BILINEAR)
    for detection in _confirmer()(np.asarray(crop), 0):
        centre = detection.rect.dcenter()
        off = max(abs(centre.x / side - 0.5), abs(centre.y / side - 0.5))
        if off < _CENTRED:
            return True
    return False


def landmark_alignment(pixels: Pixels, box: Box) -> Alignment:
    """Return how the face in `box` (left, top, width, height in px) lies in uint8 (H, W, 3).

    Raises:
        MissingDependency: dlib or its weights are not installed.
    """
    left, top, width, height = box
    rectangle = _dlib().rectangle(left, top, left + width - 1, top + height - 1)
    with _DLIB_LOCK:
        shape = _landmarks()(np.ascontiguousarray(pixels), rectangle)
    points = np.array([(point.x, point.y) for point in shape.parts()], np.float64)
    return Alignment.of_landmarks(points)


def _search_scale(height: int, width: int) -> float:
    by_area = math.sqrt(_SEARCHED_PIXELS / (height * width))
    return min(_LARGEST_ENLARGEMENT, by_area, _SEARCHED_SIDE / max(height, width))


def _scaled(pixels: Pixels, scale: float) -> Pixels:
    height, width = pixels.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size == (width, height):
        return np.ascontiguousarray(pixels)
    image = Image.fromarray(pixels)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))


def _detected(pixels: Pixels) -> Iterator[tuple[Any, float]]:
    if min(pixels.shape[:2]) < _DETECTED_SIDE:
        return
    rectangles, certainties, _ = _detector().run(pixels, 0, _CANDIDATE)
    yield from zip(rectangles, certainties, strict=True)


def _box(rectangle: Any, scale: float) -> Box:
    sides = (rectangle.left(), rectangle.top(), rectangle.width(), rectangle.height())
    left, top, width, height = (round(side / scale) for side in sides)
    return left, top, width, height


def _dlib() -> Any:
    try:
        import dlib
    except ModuleNotFoundError as error:
        raise MissingDependency(DETECTOR_PACKAGE, "face detection", INSTALL) from error
    return dlib


@lru_cache(maxsize=1)
def _detector() -> Any:
    return _dlib().get_frontal_face_detector()


@lru_cache(maxsize=1)
def _landmarks() -> Any:
    return _dlib().shape_predictor(str(model_file(LANDMARKS)))


@lru_cache(maxsize=1)
def _confirmer() -> Any:
    return _dlib().cnn_face_detection_model_v1(str(model_file(DETECTOR)))


def faces_in(pixels: NDArray[np.uint8], cache: RunCache) -> tuple[Face, ...]:
    """Return `find_faces(pixels)`, which every stage of a job needs; do not write to `pixels`.

    Raises:
        MissingDependency: dlib or its weights are not installed.
    """
    return cache.remember("faces", cache.token(pixels), lambda: find_faces(pixels))
