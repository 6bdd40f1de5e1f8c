"""dlib's recogniser on the faces of a picture, which are located once per run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.attacks.run_cache import RunCache
from artscraper_runner.faces.detection import Face, find_faces
from artscraper_runner.faces.geometry import Alignment, aligned_face
from artscraper_runner.faces.network import face_network

Pixels = NDArray[np.uint8]
Array = NDArray[np.float32]


def embedding(pixels: Pixels, alignment: Alignment) -> Array:
    """Return the embedding (1, 128) of the face at `alignment` in uint8 (H, W, 3) sRGB.

    Raises:
        MissingDependency, UnusableModel: see `face_network`.
    """
    return face_network().embeddings(aligned_face(pixels, alignment))


def faces_in(pixels: Pixels, cache: RunCache) -> tuple[Face, ...]:
    """Return `find_faces(pixels)`, which every stage of a job needs; do not write to `pixels`.

    Raises:
        MissingDependency: dlib or its weights are not installed.
    """
    return cache.remember("faces", cache.token(pixels), lambda: find_faces(pixels))
