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
    """What the backward pass of a residual block needs of its forward pass."""

    name: str
    sees_whole: bool
    outer: tuple[str, str]  # silu and sigmoid of the block's input
    inner: tuple[str, str]  # silu and sigmoid between its convolutions


class _Encoder:
    """The forward pass; `backward` walks back over what it recorded."""

    def __init__(self, weights: Mapping[str, StoredWeight]) -> None:
        self.graph = GraphBuilder(weights)
        self.blocks = len({key.split(".")[1] for key in weights if key.startswith("quarter_")})
        self.channels = weights["head.bias"].shape[0]
        self._tape: list[_Block] = []

    def forward(self, picture: str) -> str:
        """Return the latent (1, C, H / 8, W / 8) of a picture (1, 3, H, W) in [0, 1]."""
        graph = self.graph
        centred = graph.node(
            "Sub", graph.node("Mul", picture, graph.constant(4.0)), graph.constant(2.0)
        )
        cells = graph.node("SpaceToDepth", centred, blocksize=4)
        x = graph.convolution(cells, self._stem(), graph.weight("stem.bias"), padding=1)
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
        down = graph.phases(graph.weight("down.weight"), graph.shape("down.weight"), padding=1)
        phases = graph.convolution(gradient, graph.flipped(down), padding=1)
        gradient = graph.node("DepthToSpace", phases, blocksize=2, mode="DCR")
        for block in reversed(self._tape[: self.blocks]):
            gradient = self._block_adjoint(block, gradient)
        cells = graph.convolution(gradient, graph.flipped(self._stem()), padding=1)
        picture = graph.node("DepthToSpace", cells, blocksize=4, mode="DCR")
        return str(graph.node("Mul", picture, graph.constant(4.0)))

    def _stem(self) -> str:
        """Return the stem's weights in the channel order of SpaceToDepth."""
        if not hasattr(self, "_stem_name"):
            order = [(index % 3) * 16 + index // 3 for index in range(48)]
            stored = self.graph.weight("stem.weight")
            self._stem_name = self.graph.node("Gather", stored, self.graph.constant(order), axis=1)
        return self._stem_name

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
