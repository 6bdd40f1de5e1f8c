"""dlib's face recognition network: aligned faces to 128 numbers, and the gradients of distances.

The architecture is that of dlib's `dnn_face_recognition_ex.cpp` (King 2017, Boost licence): a
ResNet of 29 convolutions, each followed by a fixed affine layer, here folded into it. It agrees
with dlib's own `compute_face_descriptor`. Two pictures show the same person, by dlib's usual
reading, when their embeddings are less than SAME_PERSON apart.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.errors import MissingDependency
from artscraper_runner.faces.dlib_weights import read_tensors
from artscraper_runner.instrumentation import timed
from artscraper_runner.models.graph import Graph, load_graph
from artscraper_runner.models.weights import check_finite

Array = NDArray[np.float32]
INSTALL = "pip install 'artscraper-gateway[faces]'"  # `make setup` does so
DETECTOR_PACKAGE = "dlib-bin"
WEIGHTS_PACKAGE = "face_recognition_models"
LANDMARKS = "shape_predictor_5_face_landmarks.dat"
DETECTOR = "mmod_human_face_detector.dat"
RECOGNITION = "dlib_face_recognition_resnet_model_v1.dat"

CHIP_SIDE = 150  # px of an aligned face, which dlib calls a chip
EMBEDDING_LENGTH = 128
SAME_PERSON = 0.6  # Euclidean distance; dlib's documentation
MEAN = (122.782, 117.001, 104.298)  # of red, green and blue; `input_rgb_image_sized`
DEVIATION = 256.0
# Channels of each residual block, and whether it halves the size.
BLOCKS = (
    *((32, False),) * 3,
    (64, True),
    *((64, False),) * 3,
    (128, True),
    *((128, False),) * 2,
    (256, True),
    *((256, False),) * 2,
    (256, True),
)
FOLDER = Path(__file__).parent
EMBEDDINGS_GRAPH, DISTANCES_GRAPH = "recogniser.embeddings.onnx", "recogniser.distances.onnx"


class FaceNetwork:
    """dlib's recogniser with the weights of its file at `path`; it is computed on the CPU.

    Raises:
        UnusableModel: the file is truncated, damaged or of another network.
    """

    def __init__(self, path: Path) -> None:
        self._weights = folded_weights(path)

    def embeddings(self, faces: Array) -> Array:
        """Return embeddings (N, 128) of aligned faces float32 (N, 3, 150, 150), sRGB in [0, 1]."""
        return self._embeddings_graph.run(["embeddings"], {"faces": faces})[0]

    def distance_gradients(self, faces: Array, references: Array) -> tuple[Array, Array]:
        """Return embeddings (N, 128), and the gradients of their distances from `references`.

        Gradients are like the faces, (N, 3, 150, 150): an objective that is a function of the
        distances has as its gradient these times its own slopes, face by face.
        """
        inputs = {"faces": faces, "references": references}
        embeddings, gradients = self._distances_graph.run(["embeddings", "gradients"], inputs)
        return embeddings, gradients

    @cached_property
    def _embeddings_graph(self) -> Graph:
        return load_graph(FOLDER / EMBEDDINGS_GRAPH, weights=self._weights, accelerator="cpu")

    @cached_property
    def _distances_graph(self) -> Graph:
        return load_graph(FOLDER / DISTANCES_GRAPH, weights=self._weights, accelerator="cpu")


def distances(embeddings: Array, references: Array) -> Array:
    """Return Euclidean distances (N,) of embeddings (N, 128)."""
    lengths: Array = np.sqrt(np.square(embeddings - references).sum(1))
    return lengths


@lru_cache(maxsize=1)
def face_network() -> FaceNetwork:
    """Return the recogniser, loaded once in a process.

    Raises:
        MissingDependency: its weights are not installed.
        UnusableModel: its file of weights is damaged.
    """
    with timed("encoder", "dlib-face"):
        return FaceNetwork(model_file(RECOGNITION))


def load(argument: str) -> FaceNetwork:
    """Load the recogniser for the registry; see `face_network`. `argument` is not used."""
    del argument
    return face_network()


def model_file(name: str) -> Path:
    """Return the path of one of dlib's files of weights.

    The package is not imported, which needs a module that setuptools no longer has.

    Raises:
        MissingDependency: the package, or the file in it, is not there.
    """
    package = importlib.util.find_spec(WEIGHTS_PACKAGE)
    for folder in (package and package.submodule_search_locations) or ():
        path = Path(folder) / "models" / name
        if path.is_file():
            return path
    raise MissingDependency(WEIGHTS_PACKAGE, "face recognition", INSTALL)


def require_faces() -> None:
    """Check that dlib and its weights are installed, without loading them.

    Raises:
        MissingDependency: a package is not installed; the message has the command that does it.
    """
    if importlib.util.find_spec("dlib") is None:
        raise MissingDependency(DETECTOR_PACKAGE, "face detection", INSTALL)
    for name in (LANDMARKS, DETECTOR, RECOGNITION):
        model_file(name)


def is_installed() -> bool:
    """Return whether dlib and its weights are installed."""
    try:
        require_faces()
    except MissingDependency:
        return False
    return True


def folded_weights(path: Path) -> dict[str, Array]:
    """Read the weights of dlib's file: each convolution times its scales, plus its offsets.

    Raises:
        UnusableModel: the file is truncated, damaged or of another network.
    """
    sizes: list[tuple[int, int]] = []
    for _, (channels_out, channels_in, side) in convolutions():
        sizes += [(channels_out * (channels_in * side**2 + 1), 1), (2 * channels_out, 1)]
    head = (BLOCKS[-1][0], EMBEDDING_LENGTH)
    tensors = iter(read_tensors(path, [*sizes, head]))
    weights: dict[str, Array] = {}
    for name, (channels_out, channels_in, side) in convolutions():
        values, affine = next(tensors), next(tensors)
        scales, offsets = np.split(affine, 2)
        kernels, biases = np.split(values, [-channels_out])
        kernels = kernels.reshape(channels_out, channels_in, side, side)
        weights[f"{name}.weight"] = kernels * scales.reshape(-1, 1, 1, 1)
        weights[f"{name}.bias"] = biases * scales + offsets
    weights["head.weight"] = np.ascontiguousarray(next(tensors).reshape(head).T)
    check_finite(path, weights.values())
    return weights


def convolutions() -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Return names of convolutions with channels out and in, and the side of their kernels."""
    yield "stem", (32, 3, 7)
    channels_in = 32
    for index, (channels, _) in enumerate(BLOCKS):
        yield f"blocks.{index}.first", (channels, channels_in, 3)
        yield f"blocks.{index}.second", (channels, channels, 3)
        channels_in = channels
