"""dlib's face recogniser: one embedding for each aligned face."""

from __future__ import annotations

import weakref
from collections import deque
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from artscraper_runner.faces.detection import Face, find_faces
from artscraper_runner.faces.geometry import Alignment, chip
from artscraper_runner.faces.model_files import RECOGNITION, model_file
from artscraper_runner.faces.network import FaceNetwork, load_face_network
from artscraper_runner.instrumentation import timed
from artscraper_runner.models.weight_cache import user_cache

Pixels = NDArray[np.uint8]
_KEPT_PICTURES = 4
_CONTEXT = 1.3  # of the square: the filters before it reach beyond


@lru_cache(maxsize=1)
def face_network() -> FaceNetwork:
    """Returns the recogniser, loaded once in a process; it runs on the CPU.

    Raises:
        MissingDependency: its weights are not installed.
        UnusableModel: its file of weights is damaged.
    """
    with timed("encoder", "dlib-face"):
        return load_face_network(model_file(RECOGNITION), cache=user_cache())


@torch.no_grad()
def embedding(pixels: Pixels, alignment: Alignment) -> torch.Tensor:
    """Returns the embedding (1, 128) of the face at `alignment` in uint8 (H, W, 3) sRGB.

    Raises:
        MissingDependency, UnusableModel: see `face_network`.
    """
    embedded: torch.Tensor = face_network()(aligned_face(pixels, alignment))
    return embedded


def aligned_face(pixels: Pixels, alignment: Alignment) -> torch.Tensor:
    """Returns float32 (1, 3, 150, 150) in [0, 1]: the face at `alignment` in uint8 (H, W, 3).

    Only what is around it is converted: a large picture would take gigabytes as floats.
    """
    height, width = pixels.shape[:2]
    corners = alignment.corners(_CONTEXT)
    left, top = (int(value) for value in np.clip(corners.min(0), 0, (width - 1, height - 1)))
    right, bottom = (int(value) + 2 for value in np.clip(corners.max(0), 0, (width, height)))
    cut = pixels[top:bottom, left:right].astype(np.float32)
    picture = torch.from_numpy(cut).permute(2, 0, 1)[None] / 255
    return chip(picture, alignment.seen_at(1, 1, left=left, top=top))


class _KnownFaces:
    """Remembers what was found in the last few pictures, as long as they live."""

    def __init__(self) -> None:
        self._rows: deque[tuple[weakref.ref[Pixels], tuple[Face, ...]]] = deque(
            maxlen=_KEPT_PICTURES
        )

    def get(self, pixels: Pixels) -> tuple[Face, ...]:
        for alive, faces in self._rows:
            if alive() is pixels:
                return faces
        faces = find_faces(pixels)
        self._rows.append((weakref.ref(pixels), faces))
        return faces


_known = _KnownFaces()


def faces_in(pixels: Pixels) -> tuple[Face, ...]:
    """Returns `find_faces(pixels)`, which every stage of a job asks for; do not write to it.

    Raises:
        MissingDependency: dlib or its weights are not installed.
    """
    return _known.get(pixels)
