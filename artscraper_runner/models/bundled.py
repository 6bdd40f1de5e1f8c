"""The bundled encoder: a small student of TAEF2 that ships inside the package.

Trained by ``python -m training.distil`` of this repository from random weights to imitate
the latents of TAEF2 (madebyollin/taesd, MIT), itself a student of the FLUX.2 autoencoder.
It is a surrogate: cheap to differentiate, and only an approximation of an image model.

Three files made by ``python -m training.export``: two graphs, and the weights that both refer to.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from artscraper_runner.errors import MissingModel
from artscraper_runner.models.accelerators import CPU, OPENVINO, select_accelerator
from artscraper_runner.models.graph import Graph, GraphFailed, load_graph
from artscraper_runner.models.padding import pad_adjoint, pad_to_multiple
from artscraper_runner.models.protocol import Array, EncoderOptions, QuadraticObjective
from artscraper_runner.models.weights import UnusableModel

STRIDE = 8  # pixels per latent cell
FOLDER = Path(__file__).parent
WEIGHTS = "bundled.safetensors"  # float16
LATENTS_GRAPH, GRADIENT_GRAPH = "bundled.latents.onnx", "bundled.gradient.onnx"
# Latent cells. OpenVINO 2026.4's bfloat16 convolution returns NaN where a feature map is a single
# cell wide, never at two: narrow pictures are computed in float32 by ONNX Runtime.
NARROWEST_IN_BFLOAT16 = 4
_REMEDY = (
    "install the package again, or make the file anew with `python -m training.distil` and"
    " `python -m training.export`"
)


class GraphEncoder:
    """An encoder whose forward and backward pass are graph files; see `protocol.Encoder`."""

    def __init__(self, folder: Path, *, name: str, accelerator: str) -> None:
        self.name, self.stride = name, STRIDE
        self._folder, self._accelerator = folder, accelerator
        self._graphs: dict[tuple[str, str], Graph] = {}
        for file in (WEIGHTS, LATENTS_GRAPH, GRADIENT_GRAPH):
            if not (folder / file).is_file():
                raise MissingModel(file, searched=(folder,), setting=None, remedy=_REMEDY)

    def latents(self, pictures: Array) -> Array:
        """Return latents (N, D) of pictures (N, 3, H, W)."""
        padded = pad_to_multiple(pictures, self.stride)
        graph = self._graph(LATENTS_GRAPH, padded)
        latents = [
            graph.run(["latent"], {"picture": padded[index : index + 1]})[0]
            for index in range(len(padded))
        ]
        return np.concatenate(latents).reshape(len(latents), -1)

    def value_and_gradient(
        self, picture: Array, objective: QuadraticObjective
    ) -> tuple[float, Array]:
        """Return the objective of a picture (1, 3, H, W) and its gradient."""
        padded = pad_to_multiple(picture, self.stride)
        rows, columns = (side // self.stride for side in padded.shape[2:])
        inputs = {
            "picture": padded,
            "reference": objective.reference.reshape(1, -1, rows, columns),
            "spread": np.array(objective.spread, np.float32),
            "pull": objective.pull.reshape(1, -1, rows, columns),
        }
        latent, gradient = self._graph(GRADIENT_GRAPH, padded).run(["latent", "gradient"], inputs)
        size = (picture.shape[2], picture.shape[3])
        return objective.value(latent.reshape(1, -1)), pad_adjoint(gradient, size, self.stride)

    def _graph(self, file: str, padded: Array) -> Graph:
        """Return the graph that computes pictures of that size, loaded once."""
        accelerator = self._accelerator
        is_narrow = min(padded.shape[2:]) < NARROWEST_IN_BFLOAT16 * self.stride
        if is_narrow and select_accelerator(accelerator) == OPENVINO:
            accelerator = CPU
        if (file, accelerator) not in self._graphs:
            self._graphs[file, accelerator] = self._loaded(file, accelerator)
        return self._graphs[file, accelerator]

    def _loaded(self, file: str, accelerator: str) -> Graph:
        try:
            return load_graph(self._folder / file, accelerator=accelerator)
        except GraphFailed as error:
            reason = "expected the graph and the weights of the bundled encoder"
            raise UnusableModel(self._folder / file, reason, detail=str(error)) from error


def load(name: str, options: EncoderOptions) -> GraphEncoder:
    """Load the encoder that ships in the package; raises as `load_encoder`."""
    return GraphEncoder(FOLDER, name=name, accelerator=options.accelerator)
