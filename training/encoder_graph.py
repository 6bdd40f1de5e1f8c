"""The bundled encoder as two ONNX graphs: latents alone, and latents with a gradient.

The second one answers the gradient of any quadratic objective of the latent, see
`artscraper_runner.models.protocol.QuadraticObjective`. Widths and depths are taken from the
weights; sizes are free, multiples of 8 px.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from training.graph_builder import GraphBuilder, StoredWeight

PICTURE = (1, 3, "height", "width")


@dataclass(frozen=True)
class _Block:
    """The values of a residual block's forward pass that its backward pass needs."""

    name: str
    sees_whole: bool
    outer: tuple[str, str]  # silu and sigmoid of the block's input
    inner: tuple[str, str]  # silu and sigmoid between its convolutions


class _Encoder:
    """The forward pass; `backward` walks back over what it recorded."""

    def __init__(self, weights: Mapping[str, StoredWeight]) -> None:
        self.graph = GraphBuilder(weights)
        self.blocks = len({key.split(".")[1] for key in weights if key.startswith("quarter_")})
        self.has_branch = "half_branch.first.weight" in weights
        self.channels = weights["head.bias"].shape[0]
        self._tape: list[_Block] = []
        self._reordered: dict[str, str] = {}

    def forward(self, picture: str) -> str:
        """Return the latent (1, C, H / 8, W / 8) of a picture (1, 3, H, W) in [0, 1]."""
        graph = self.graph
        centred = graph.node(
            "Sub", graph.node("Mul", picture, graph.constant(4.0)), graph.constant(2.0)
        )
        cells = graph.node("SpaceToDepth", centred, blocksize=4)
        x = graph.convolution(cells, self._stem(), graph.weight("stem.bias"), padding=1)
        if self.has_branch:
            x = graph.node("Add", x, self._branch(centred))
        for index in range(self.blocks):
            x = self._block(x, f"quarter_stage.{index}", sees_whole=False)
        down, bias = graph.weight("down.weight"), graph.weight("down.bias")
        x = graph.convolution(x, down, bias, padding=1, stride=2)
        for index in range(self.blocks):
            x = self._block(x, f"eighth_stage.{index}", sees_whole=True)
        self._head = graph.silu(x)
        weight, bias = graph.weight("head.weight"), graph.weight("head.bias")
        return graph.convolution(self._head[0], weight, bias, padding=1)

    def backward(self, gradient: str) -> str:
        """Return the gradient of the picture for one of the latent."""
        graph = self.graph
        gradient = self._adjoint(gradient, "head.weight")
        gradient = graph.silu_adjoint(*self._head, gradient)
        for block in reversed(self._tape[self.blocks :]):
            gradient = self._block_adjoint(block, gradient)
        gradient = self._down_adjoint(gradient, "down.weight")
        for block in reversed(self._tape[: self.blocks]):
            gradient = self._block_adjoint(block, gradient)
        cells = graph.convolution(gradient, graph.flipped(self._stem()), padding=1)
        picture = graph.node("DepthToSpace", cells, blocksize=4, mode="DCR")
        if self.has_branch:
            picture = graph.node("Add", picture, self._branch_adjoint(gradient))
        return str(graph.node("Mul", picture, graph.constant(4.0)))

    def _branch(self, centred: str) -> str:
        """Return the features (1, C, H / 4, W / 4) that the branch at half the size adds."""
        graph = self.graph
        cells = graph.node("SpaceToDepth", centred, blocksize=2)
        weight = self._in_cell_order("half_branch.first.weight")
        bias = graph.weight("half_branch.first.bias")
        self._branch_first = graph.silu(graph.convolution(cells, weight, bias, padding=1))
        second = self._convolved(self._branch_first[0], "half_branch.second")
        self._branch_second = graph.silu(second)
        weight, bias = (graph.weight(f"half_branch.down.{each}") for each in ("weight", "bias"))
        return graph.convolution(self._branch_second[0], weight, bias, padding=1, stride=2)

    def _branch_adjoint(self, gradient: str) -> str:
        """Return the gradient of the centred picture for one of the branch's features."""
        graph = self.graph
        gradient = self._down_adjoint(gradient, "half_branch.down.weight")
        gradient = graph.silu_adjoint(*self._branch_second, gradient)
        gradient = self._adjoint(gradient, "half_branch.second.weight")
        gradient = graph.silu_adjoint(*self._branch_first, gradient)
        weight = graph.flipped(self._in_cell_order("half_branch.first.weight"))
        cells = graph.convolution(gradient, weight, padding=1)
        return str(graph.node("DepthToSpace", cells, blocksize=2, mode="DCR"))

    def _down_adjoint(self, gradient: str, weight: str) -> str:
        """Return the gradient before a convolution with kernel 4, stride 2 and padding 1."""
        graph = self.graph
        down = graph.phases(graph.weight(weight), graph.shape(weight), padding=1)
        phases = graph.convolution(gradient, graph.flipped(down), padding=1)
        return str(graph.node("DepthToSpace", phases, blocksize=2, mode="DCR"))

    def _stem(self) -> str:
        return self._in_cell_order("stem.weight")

    def _in_cell_order(self, weight: str) -> str:
        """Return weights of a convolution over cells, in the channel order of SpaceToDepth."""
        if weight not in self._reordered:
            cells = self.graph.shape(weight)[1] // 3
            order = [(index % 3) * cells + index // 3 for index in range(3 * cells)]
            stored, places = self.graph.weight(weight), self.graph.constant(order)
            self._reordered[weight] = self.graph.node("Gather", stored, places, axis=1)
        return self._reordered[weight]

    def _block(self, x: str, name: str, *, sees_whole: bool) -> str:
        graph = self.graph
        outer = graph.silu(x)
        inner = self._convolved(outer[0], f"{name}.first")
        if sees_whole:
            mean = graph.node("GlobalAveragePool", inner)
            weight, bias = graph.weight(f"{name}.whole.weight"), graph.weight(f"{name}.whole.bias")
            inner = graph.node("Add", inner, graph.convolution(mean, weight, bias, padding=0))
        middle = graph.silu(inner)
        self._tape.append(_Block(name, sees_whole, outer, middle))
        return str(graph.node("Add", x, self._convolved(middle[0], f"{name}.second")))

    def _block_adjoint(self, block: _Block, gradient: str) -> str:
        graph = self.graph
        inner = self._adjoint(gradient, f"{block.name}.second.weight")
        inner = graph.silu_adjoint(*block.inner, inner)
        if block.sees_whole:  # the adjoint of a mean spreads the mean of the gradient evenly
            mean = graph.node("GlobalAveragePool", inner)
            whole = graph.flipped(graph.weight(f"{block.name}.whole.weight"))
            inner = graph.node("Add", inner, graph.convolution(mean, whole, padding=0))
        outer = self._adjoint(inner, f"{block.name}.first.weight")
        return str(graph.node("Add", gradient, graph.silu_adjoint(*block.outer, outer)))

    def _convolved(self, x: str, name: str) -> str:
        weight, bias = self.graph.weight(f"{name}.weight"), self.graph.weight(f"{name}.bias")
        return self.graph.convolution(x, weight, bias, padding=1)

    def _adjoint(self, gradient: str, weight: str) -> str:
        flipped = self.graph.flipped(self.graph.weight(weight))
        return self.graph.convolution(gradient, flipped, padding=1)


def latents_graph(weights: Mapping[str, StoredWeight]) -> onnx.ModelProto:
    """Return the graph from `picture` (1, 3, H, W) to `latent` (1, C, H / 8, W / 8)."""
    encoder = _Encoder(weights)
    latent = encoder.forward("picture")
    shape = (1, encoder.channels, "rows", "columns")
    return encoder.graph.model("latents", {"picture": PICTURE}, {"latent": (latent, shape)})


def gradient_graph(weights: Mapping[str, StoredWeight]) -> onnx.ModelProto:
    """Return the graph that answers `latent` and `gradient` of a quadratic objective.

    Inputs: `picture` (1, 3, H, W); `reference` and `pull`, like the latent; `spread`, a scalar.
    With m = latent - reference the objective is the sum of m * (spread * m + pull).
    """
    encoder = _Encoder(weights)
    graph, latent = encoder.graph, encoder.forward("picture")
    way = graph.node("Sub", latent, "reference")
    slope = graph.node("Mul", way, graph.node("Mul", "spread", graph.constant(2.0)))
    gradient = encoder.backward(graph.node("Add", slope, "pull"))
    shape = (1, encoder.channels, "rows", "columns")
    inputs = {"picture": PICTURE, "reference": shape, "spread": (), "pull": shape}
    outputs = {"latent": (latent, shape), "gradient": (gradient, PICTURE)}
    return graph.model("gradient", inputs, outputs)
