"""Find faces: dlib's frontal detector (HOG, King 2009) and its five landmarks in each face."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artscraper_runner.errors import MissingDependency
from artscraper_runner.faces.geometry import Alignment
from artscraper_runner.faces.network import DETECTOR_PACKAGE, INSTALL, LANDMARKS, model_file

Pixels = NDArray[np.uint8]
MIN_FACE_SIDE = 30  # px of the box, in the picture; smaller ones are ignored
MAX_FACES = 16  # the largest ones
_DETECTED_SIDE = 80  # px; the smallest face that the detector sees
_LARGEST_ENLARGEMENT = 2.0  # beyond it finds more that is no face
_SEARCHED_PIXELS = 4_000_000
_SEARCHED_SIDE = 8192  # px; a long strip


@dataclass(frozen=True)
class Face:
    """A face: its box (left, top, width, height) in whole px, and what a recogniser aligns.

    `certainty` is the detector's, from 0.
    """

    box: tuple[int, int, int, int]
    certainty: float
    alignment: Alignment


def find_faces(pixels: Pixels) -> tuple[Face, ...]:
    """Return the faces in uint8 (H, W, 3) sRGB, the largest first, MAX_FACES at most.

    A large picture is searched at a smaller size, a small one enlarged; the landmarks of what is
    found are looked for at full size. Faces under MIN_FACE_SIDE px, in the picture, are left out.

    Raises:
        MissingDependency: dlib or its weights are not installed.
    """
    height, width = pixels.shape[:2]
    scale = _search_scale(height, width)
    candidates = [
        (_box(rectangle, scale), certainty)
        for rectangle, certainty in _detected(_scaled(pixels, scale))
    ]
    large = [row for row in candidates if min(row[0][2:]) >= MIN_FACE_SIDE]
    large.sort(key=lambda row: (-row[0][2] * row[0][3], row[0]))
    return tuple(
        Face(box, certainty, landmark_alignment(pixels, box))
        for box, certainty in large[:MAX_FACES]
    )


def landmark_alignment(pixels: Pixels, box: tuple[int, int, int, int]) -> Alignment:
    """Return how the face in `box` (left, top, width, height in px) lies in uint8 (H, W, 3).

    Raises:
        MissingDependency: dlib or its weights are not installed.
    """
    left, top, width, height = box
    rectangle = _dlib().rectangle(left, top, left + width - 1, top + height - 1)
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
    rectangles, certainties, _ = _detector().run(pixels, 0, 0.0)
    yield from zip(rectangles, certainties, strict=True)


def _box(rectangle: Any, scale: float) -> tuple[int, int, int, int]:
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
