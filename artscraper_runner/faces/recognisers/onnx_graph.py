"""A recogniser of the user's: an ONNX file, computed and differentiated by torch; extra `torch`.

The graph takes faces float32 (N, 3, 150, 150) sRGB in [0, 1], aligned as dlib does, for any N or
one at a time, and returns embeddings (N, D) of which two of one person are less than 0.6 apart.
Cropping, scaling and the order of channels are part of the graph. What torch computes is compared
with ONNX Runtime when the file is loaded, so that a misread operator leads to no useless cloak.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.faces.network import CHIP_SIDE
from artscraper_runner.faces.recognisers.torch_program import TorchRecogniser, recogniser_file
from artscraper_runner.models.graph import GraphFailed, load_graph
from artscraper_runner.models.weights import UnusableModel

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[np.float32]
_TOLERANCE = 1e-3  # of the largest value of an embedding; float32 differs by about 1e-5
_FACE = (3, CHIP_SIDE, CHIP_SIDE)


class OnnxRecogniser(TorchRecogniser):
    """The graph in the file at `path`; see `recognisers.Recogniser`.

    Raises:
        UnusableModel: the file is no graph of supported operators that maps faces to embeddings,
            ONNX Runtime computes something else, or its gradients are zero or not finite.
    """

    def __init__(self, path: Path) -> None:
        from artscraper_runner.models.onnx_program import read_program

        self._path = path
        self._program = read_program(path)
        batch, *face = self._program.input_shape or (0,)
        fits = len(face) == 3 and all(s in (None, r) for s, r in zip(face, _FACE, strict=True))
        if batch not in (None, 1) or not fits:
            shape = ", ".join(str(side or "any") for side in self._program.input_shape)
            reason = f"expected an input of shape (N or 1, 3, 150, 150), found ({shape})"
            raise UnusableModel(path, f"{reason}; crop and scale faces in the graph")
        self._one_by_one = batch == 1
        super().__init__(self._computed)
        self._check()

    def _computed(self, faces: Tensor) -> Tensor:
        import torch

        if not self._one_by_one:
            return self._program(faces)
        return torch.cat([self._program(faces[at : at + 1]) for at in range(len(faces))])

    def _check(self) -> None:
        faces = np.random.default_rng(0).random((3, *_FACE), np.float32)
        found = self.embeddings(faces)
        if found.ndim != 2 or len(found) != 3 or not np.isfinite(found).all():
            reason = f"expected finite embeddings (N, D) of N = 3 faces, found {found.shape}"
            raise UnusableModel(self._path, reason)
        expected = self._by_onnx_runtime(faces)
        scale = float(np.abs(expected).max())
        if found.shape != expected.shape or not np.abs(found - expected).max() < _TOLERANCE * scale:
            raise UnusableModel(self._path, "torch and ONNX Runtime compute different embeddings")
        gradients = self.distance_gradients(faces[:1], found[1:2])[1]
        if not (np.isfinite(gradients).all() and gradients.any()):
            raise UnusableModel(self._path, "expected finite gradients that are not all zero")

    def _by_onnx_runtime(self, faces: Array) -> Array:
        """Return embeddings of the faces as a batch or, if the graph takes one, one by one."""
        batches = np.split(faces, len(faces)) if self._one_by_one else [faces]
        output, name = self._program.output_name, self._program.input_name
        try:
            graph = load_graph(self._path, accelerator="cpu")
            return np.concatenate([graph.run([output], {name: batch})[0] for batch in batches])
        except GraphFailed as error:
            reason = "ONNX Runtime cannot compute it"
            raise UnusableModel(self._path, reason, detail=str(error)) from error


def load(argument: str) -> OnnxRecogniser:
    """Load the recogniser in the file `argument`.

    Raises:
        MissingDependency: torch or onnx is not installed.
        MissingModel: there is no such file.
        UnusableModel: see `OnnxRecogniser`.
    """
    packages = ("torch", "onnx")
    path = recogniser_file(argument, "onnx", packages=packages, remedy="name an ONNX file")
    return OnnxRecogniser(path)
