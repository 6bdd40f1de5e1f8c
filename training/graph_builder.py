"""Build ONNX graphs with a backward pass: every adjoint is again made of ordinary operators.

The adjoint of a convolution with stride 1 is the convolution with the flipped, transposed weights;
with stride 2 it is one on the space-to-depth form of the picture. Weights stand in the graph once,
as external data; what is made of them (casts, flips) is folded to constants when a runtime loads
the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 18, 9
_TYPES = {"float16": TensorProto.FLOAT16, "float32": TensorProto.FLOAT}


@dataclass(frozen=True)
class StoredWeight:
    """The place of a weight's raw little-endian values: bytes `offset` to `offset + length`.

    `location` is the file's name beside the graph. A runtime that is handed the values itself
    (external initializers) never opens it.
    """

    shape: tuple[int, ...]
    dtype: str
    location: str = "weights"
    offset: int = 0
    length: int = 0


class GraphBuilder:
    """Collects nodes; every method takes and returns names of values, (N, C, H, W) each."""

    def __init__(self, weights: Mapping[str, StoredWeight]) -> None:
        self._weights = weights
        self._initializers: list[TensorProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._made: dict[tuple[str, ...], str] = {}

    def shape(self, weight: str) -> tuple[int, ...]:
        """Return the shape of a stored weight."""
        return self._weights[weight].shape

    def constant(self, value: float | Sequence[int] | np.ndarray) -> str:
        """Add a constant: a float32 scalar or array, or a list of int64."""
        dtype = np.int64 if isinstance(value, Sequence) else np.float32
        array = np.asarray(value, dtype)
        key = ("constant", str(array.dtype), str(array.shape), array.tobytes().hex())
        if key not in self._made:
            self._made[key] = f"constant_{len(self._made)}"
            self._initializers.append(numpy_helper.from_array(array, self._made[key]))
        return self._made[key]

    def node(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add an operator; return the name of its output, or the names of several."""
        names = [f"{operator}_{len(self._nodes)}_{index}" for index in range(outputs)]
        self._nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else tuple(names)

    def weight(self, name: str) -> str:
        """Return the float32 form of a stored weight."""
        return self._once(("weight", name), lambda: self._stored(name))

    def _stored(self, name: str) -> str:
        stored = self._weights[name]
        tensor = TensorProto(name=name, data_type=_TYPES[stored.dtype], dims=stored.shape)
        tensor.data_location = TensorProto.EXTERNAL
        entries = {"location": stored.location, "offset": stored.offset, "length": stored.length}
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=str(value))
        self._initializers.append(tensor)
        if stored.dtype == "float32":
            return name
        return str(self.node("Cast", name, to=TensorProto.FLOAT))

    def _once(self, key: tuple[str, ...], make: Any) -> str:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def flipped(self, weight: str) -> str:
        """Return weights (O, I, k, k) as those of the adjoint convolution, (I, O, k, k)."""
        return self._once(("flipped", weight), lambda: self._flip(weight))

    def _flip(self, weight: str) -> str:
        turned = self.node("Transpose", weight, perm=[1, 0, 2, 3])
        far = -(2**31)
        ends = [self.constant(values) for values in ([-1, -1], [far, far], [2, 3], [-1, -1])]
        return str(self.node("Slice", turned, *ends))

    def phases(self, weight: str, shape: Sequence[int], *, padding: int) -> str:
        """Return stride-2 weights (O, C, k, k) as those for SpaceToDepth(2), (O, 4C, n, n)."""
        return self._once(
            ("phases", weight), lambda: self._phases(weight, tuple(shape), padding=padding)
        )

    def _phases(self, weight: str, shape: tuple[int, ...], *, padding: int) -> str:
        channels_out, channels_in, side = shape[:3]
        after = (side + padding) % 2
        cells = (side + padding + after) // 2
        pads = self.constant([0, 0, padding, padding, 0, 0, after, after])
        padded = self.node("Pad", weight, pads, self.constant(0.0))
        split = self.constant([channels_out, channels_in, cells, 2, cells, 2])
        by_phase = self.node(
            "Transpose", self.node("Reshape", padded, split), perm=[0, 3, 5, 1, 2, 4]
        )
        joined = self.constant([channels_out, 4 * channels_in, cells, cells])
        return str(self.node("Reshape", by_phase, joined))

    def convolution(
        self, x: str, weight: str, bias: str | None = None, *, padding: int, stride: int = 1
    ) -> str:
        """Return a convolution with equal padding on the four sides."""
        inputs = (x, weight) if bias is None else (x, weight, bias)
        made = self.node("Conv", *inputs, pads=[padding] * 4, strides=[stride] * 2)
        return str(made)

    def silu(self, x: str) -> tuple[str, str]:
        """Return silu(x) = x * sigmoid(x), and the sigmoid."""
        gate = self.node("Sigmoid", x)
        return self.node("Mul", x, gate), gate

    def silu_adjoint(self, activated: str, gate: str, gradient: str) -> str:
        """Return gradient * (s + y (1 - s)) for y = silu(x), s = sigmoid(x)."""
        rest = self.node("Mul", activated, self.node("Sub", self.constant(1.0), gate))
        return str(self.node("Mul", gradient, self.node("Add", gate, rest)))

    def model(
        self,
        name: str,
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Mapping[str, tuple[str, Sequence[int | str]]],
    ) -> onnx.ModelProto:
        """Return the graph: inputs by name with their shape, outputs with their value and shape."""
        for output, (value, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [value], [output]))
        shapes = {output: shape for output, (_, shape) in outputs.items()}
        graph = helper.make_graph(
            self._nodes, name, _infos(inputs), _infos(shapes), self._initializers
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        model.producer_name = "training.export"
        return model


def identity_graph() -> onnx.ModelProto:
    """Return the graph that answers one number as it is; see `models.graph.IDENTITY_GRAPH`."""
    return GraphBuilder({}).model("identity", {"input": [1]}, {"value": ("input", [1])})


def _infos(shapes: Mapping[str, Sequence[int | str]]) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
        for name, shape in shapes.items()
    ]
