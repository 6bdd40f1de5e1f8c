"""dlib's face recognition network as two ONNX graphs: embeddings alone, and with gradients.

The architecture is that of dlib's `dnn_face_recognition_ex.cpp` (King 2017, Boost licence), written
anew. No weight is in the graphs: `artscraper_runner.faces.network` hands in those of the user's
file, the fixed affine layers folded into the convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from artscraper_runner.faces.network import (
    BLOCKS,
    CHIP_SIDE,
    DEVIATION,
    EMBEDDING_LENGTH,
    MEAN,
    convolutions,
)
from training.graph_builder import GraphBuilder, StoredWeight

FACES = ("faces", 3, CHIP_SIDE, CHIP_SIDE)
_TINY = 1e-9  # under the root of a distance, whose slope would be infinite at zero


def _weight_shapes() -> dict[str, tuple[int, ...]]:
    """Return the shapes of the network's weights by name, in the order of dlib's file."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (channels_out, channels_in, side) in convolutions():
        shapes[f"{name}.weight"] = (channels_out, channels_in, side, side)
        shapes[f"{name}.bias"] = (channels_out,)
    shapes["head.weight"] = (EMBEDDING_LENGTH, BLOCKS[-1][0])
    return shapes


@dataclass(frozen=True)
class _Block:
    """The values of a residual block's forward pass that its backward pass needs.

    `side` and `channels` are those of the block's input, `inner_side` of its convolutions' output.
    """

    name: str
    halves: bool
    side: int
    channels: int
    inner_side: int
    middle: str  # after the first convolution and ReLU
    output: str


class _FaceNetwork:
    """The forward pass; `backward` walks back over what it recorded."""

    def __init__(self) -> None:
        weights = {name: StoredWeight(shape, "float32") for name, shape in _weight_shapes().items()}
        self.graph = GraphBuilder(weights)
        self._tape: list[_Block] = []

    def forward(self, faces: str) -> str:
        """Return embeddings (N, 128) of aligned faces (N, 3, 150, 150) in [0, 1]."""
        graph = self.graph
        scaled = graph.node("Mul", faces, graph.constant(255.0))
        mean = graph.constant(np.reshape(MEAN, (1, 3, 1, 1)))
        x = graph.node("Sub", scaled, mean)
        x = graph.node("Div", x, graph.constant(DEVIATION))
        self._stem = self._relu(self._convolved(x, "stem", stride=2, padding=0))
        x, self._winners = graph.node(
            "MaxPool", self._stem, outputs=2, kernel_shape=[3, 3], strides=[2, 2]
        )
        side, channels = ((CHIP_SIDE - 7) // 2 + 1 - 3) // 2 + 1, 32
        for index, (width, halves) in enumerate(BLOCKS):
            x, side = self._block(x, f"blocks.{index}", side, channels, halves=halves)
            channels = width
        self._last_side = side
        cells = graph.node("GlobalAveragePool", x)
        flat = graph.node("Flatten", cells)
        return str(graph.node("Gemm", flat, graph.weight("head.weight"), transB=1))

    def backward(self, gradient: str) -> str:
        """Return the gradient of the faces for one (N, 128) of the embeddings."""
        graph = self.graph
        means = graph.node("MatMul", gradient, graph.weight("head.weight"))
        cells = graph.node("Unsqueeze", means, graph.constant([2, 3]))
        share = graph.node("Div", cells, graph.constant(float(self._last_side**2)))
        size = graph.node("Shape", self._tape[-1].output)
        gradient = graph.node("Expand", share, size)
        for block in reversed(self._tape):
            gradient = self._block_adjoint(block, gradient)
        gradient = self._pool_adjoint(gradient)
        gradient = self._relu_adjoint(self._stem, gradient)
        gradient = self._strided_adjoint("stem", gradient, CHIP_SIDE)
        return str(graph.node("Mul", gradient, graph.constant(255.0 / DEVIATION)))

    def _convolved(self, x: str, name: str, *, padding: int, stride: int = 1) -> str:
        weight, bias = self.graph.weight(f"{name}.weight"), self.graph.weight(f"{name}.bias")
        return self.graph.convolution(x, weight, bias, padding=padding, stride=stride)

    def _relu(self, x: str) -> str:
        return str(self.graph.node("Relu", x))

    def _relu_adjoint(self, output: str, gradient: str) -> str:
        graph = self.graph
        return str(graph.node("Mul", gradient, graph.node("Sign", output)))

    def _block(
        self, x: str, name: str, side: int, channels: int, *, halves: bool
    ) -> tuple[str, int]:
        graph = self.graph
        inner_side = (side - 3) // 2 + 1 if halves else side
        first = self._convolved(
            x, f"{name}.first", padding=0 if halves else 1, stride=2 if halves else 1
        )
        middle = self._relu(first)
        inner = self._convolved(middle, f"{name}.second", padding=1)
        shortcut, side_out = x, side
        if halves:
            shortcut = graph.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
            side_out = side // 2
            width = graph.shape(f"{name}.first.weight")[0]
            shortcut = self._padded(shortcut, 0, width - channels)
            inner = self._padded(inner, side_out - inner_side, 0)
        output = self._relu(graph.node("Add", inner, shortcut))
        self._tape.append(_Block(name, halves, side, channels, inner_side, middle, output))
        return output, side_out

    def _padded(self, x: str, cells: int, channels: int) -> str:
        """Continue a feature map by zeros to the right and below, and by empty channels."""
        if not cells and not channels:
            return x
        graph = self.graph
        pads = graph.constant([0, 0, 0, 0, 0, channels, cells, cells])
        return str(graph.node("Pad", x, pads, graph.constant(0.0)))

    def _cut(self, x: str, cells: int, channels: int | None = None) -> str:
        """Keep the first rows, columns and channels."""
        graph = self.graph
        ends = [cells, cells] if channels is None else [channels, cells, cells]
        axes = [2, 3] if channels is None else [1, 2, 3]
        starts = graph.constant([0] * len(ends))
        return str(graph.node("Slice", x, starts, graph.constant(ends), graph.constant(axes)))

    def _block_adjoint(self, block: _Block, gradient: str) -> str:
        graph = self.graph
        gradient = self._relu_adjoint(block.output, gradient)
        inner = self._cut(gradient, block.inner_side) if block.halves else gradient
        flipped = graph.flipped(graph.weight(f"{block.name}.second.weight"))
        inner = graph.convolution(inner, flipped, padding=1)
        inner = self._relu_adjoint(block.middle, inner)
        if not block.halves:
            flipped = graph.flipped(graph.weight(f"{block.name}.first.weight"))
            inner = graph.convolution(inner, flipped, padding=1)
            return str(graph.node("Add", gradient, inner))
        inner = self._strided_adjoint(f"{block.name}.first", inner, block.side)
        shortcut = self._cut(gradient, block.side // 2, block.channels)
        return str(graph.node("Add", inner, self._means_adjoint(shortcut, block.side)))

    def _strided_adjoint(self, name: str, gradient: str, side: int) -> str:
        """Adjoint of a convolution of stride 2 without padding on an input of `side` cells."""
        graph = self.graph
        shape = graph.shape(f"{name}.weight")
        phases = graph.phases(graph.weight(f"{name}.weight"), shape, padding=0)
        reach = (shape[2] + 1) // 2 - 1
        spread = graph.convolution(gradient, graph.flipped(phases), padding=reach)
        whole = graph.node("DepthToSpace", spread, blocksize=2, mode="DCR")
        covered = 2 * ((side - shape[2]) // 2 + 1 + reach)
        whole = self._cut(whole, side) if covered > side else whole
        return self._padded(whole, max(0, side - covered), 0)

    def _means_adjoint(self, gradient: str, side: int) -> str:
        """Adjoint of 2x2 means: a quarter for each of the four cells."""
        graph = self.graph
        scales = graph.constant(np.array([1, 1, 2, 2]))
        quarter = graph.node("Mul", gradient, graph.constant(0.25))
        whole = graph.node(
            "Resize",
            quarter,
            "",
            scales,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        return self._padded(whole, side % 2, 0)

    def _pool_adjoint(self, gradient: str) -> str:
        """Adjoint of overlapping maxima: each gradient goes to the cell that won."""
        graph = self.graph
        zeros = graph.node("Mul", self._stem, graph.constant(0.0))
        flat = [graph.node("Reshape", x, graph.constant([-1])) for x in (zeros, gradient)]
        winners = graph.node("Reshape", self._winners, graph.constant([-1]))
        summed = graph.node("ScatterElements", flat[0], winners, flat[1], axis=0, reduction="add")
        return str(graph.node("Reshape", summed, graph.node("Shape", self._stem)))


def embeddings_graph() -> onnx.ModelProto:
    """Return the graph from `faces` (N, 3, 150, 150) to `embeddings` (N, 128)."""
    network = _FaceNetwork()
    embeddings = network.forward("faces")
    return network.graph.model(
        "embeddings", {"faces": FACES}, {"embeddings": (embeddings, ("faces", 128))}
    )


def distance_graph() -> onnx.ModelProto:
    """Return the graph that answers `embeddings` and the `gradients` of their distances.

    Inputs: `faces` (N, 3, 150, 150) and `references` (N, 128). `gradients` (N, 3, 150, 150) are,
    face by face, those of the Euclidean distance from the face's reference.
    """
    network = _FaceNetwork()
    graph, embeddings = network.graph, network.forward("faces")
    way = graph.node("Sub", embeddings, "references")
    square = graph.node("ReduceSum", graph.node("Mul", way, way), graph.constant([1]), keepdims=1)
    distance = graph.node("Sqrt", graph.node("Add", square, graph.constant(_TINY)))
    gradients = network.backward(graph.node("Div", way, distance))
    inputs = {"faces": FACES, "references": ("faces", 128)}
    outputs = {"embeddings": (embeddings, ("faces", 128)), "gradients": (gradients, FACES)}
    return graph.model("distances", inputs, outputs)
