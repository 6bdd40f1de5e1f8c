"""Read an ONNX file as a program that torch computes and differentiates; extra `torch`.

Everything about the file is checked before it is computed: size, external data, operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from artscraper_runner.models.onnx_call import MAX_VALUES, Call, UnsupportedOperator
from artscraper_runner.models.onnx_operators import OPERATORS
from artscraper_runner.models.weights import UnusableModel

MAX_BYTES = 1 << 30  # of a file with its external data
_SHOWN = 60  # characters of a name from a file


@dataclass(frozen=True)
class Node:
    """One operator of a graph, with the names of its inputs and of its first output."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, object]


@dataclass(frozen=True)
class OnnxProgram:
    """A graph of one input and one output.

    Attributes:
        input_shape: the sides of the input, None where any will do.
    """

    path: Path
    input_name: str
    input_shape: tuple[int | None, ...]
    output_name: str
    nodes: tuple[Node, ...]
    constants: Mapping[str, Tensor]

    def __call__(self, values: Tensor) -> Tensor:
        """Return the output for an input.

        Raises:
            UnusableModel: an operator cannot be computed.
        """
        tensors = {**self.constants, self.input_name: values}
        for node in self.nodes:
            try:
                inputs = [tensors[name] if name else None for name in node.inputs]
                result = OPERATORS[node.operator](Call(inputs, node.attributes))
            except UnsupportedOperator as error:
                raise UnusableModel(self.path, f"{node.operator}: {error}") from error
            except Exception as error:  # torch raises many kinds for shapes that do not fit
                reason = f"{node.operator} cannot be computed for these shapes and types"
                raise UnusableModel(self.path, reason, detail=str(error)) from error
            if result.numel() > MAX_VALUES:
                reason = f"{node.operator}: expected at most {MAX_VALUES} values"
                raise UnusableModel(self.path, f"{reason}, found {list(result.shape)}")
            tensors[node.output] = result
        return tensors[self.output_name]


def read_program(path: Path) -> OnnxProgram:
    """Read the ONNX file at `path`; external data is read from the file's folder alone.

    Raises:
        UnusableModel: the file is over MAX_BYTES, damaged, or has an operator or something else
            that is not supported.
    """
    if path.stat().st_size > MAX_BYTES:
        raise UnusableModel(path, f"expected at most {MAX_BYTES} bytes")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's errors share no base class with onnx's
        raise UnusableModel(path, "expected an ONNX file", detail=str(error)) from error
    graph = model.graph
    _check_operators(path, model)
    _check_external_data(path, graph)
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
        onnx.checker.check_model(model)
        constants = {each.name: _tensor(each) for each in graph.initializer}
        nodes = tuple(map(_node, graph.node))
    except Exception as error:  # the checker and the readers raise a dozen kinds between them
        raise UnusableModel(path, "expected a valid ONNX graph", detail=str(error)) from error
    inputs = [each for each in graph.input if each.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        found = f"{len(inputs)} and {len(graph.output)}"
        raise UnusableModel(path, f"expected one input and one output, found {found}")
    sides = inputs[0].type.tensor_type.shape.dim
    shape = tuple(side.dim_value if side.HasField("dim_value") else None for side in sides)
    return OnnxProgram(path, inputs[0].name, shape, graph.output[0].name, nodes, constants)


def _check_operators(path: Path, model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx") or model.functions:
            name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            valid = ", ".join(OPERATORS)
            reason = f"operator {name[:_SHOWN]!r} is not supported; supported: {valid}"
            raise UnusableModel(path, reason)


def _check_external_data(path: Path, graph: onnx.GraphProto) -> None:
    if graph.sparse_initializer:
        raise UnusableModel(path, "sparse weights are not supported; supported: dense ones")
    attributes = (each for node in graph.node for each in node.attribute)
    tensors = [*graph.initializer, *(each.t for each in attributes if each.HasField("t"))]
    folder, total = path.parent.resolve(), path.stat().st_size
    for tensor in tensors:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        try:
            file = (folder / entries["location"]).resolve()
            inside = file.is_relative_to(folder) and file.is_file()
            total += int(entries["length"]) if "length" in entries else file.stat().st_size
        except (KeyError, OSError, ValueError):
            inside = False
        if not inside:
            raise UnusableModel(path, "expected external data in files in its own folder")
        if total > MAX_BYTES:
            raise UnusableModel(path, f"expected at most {MAX_BYTES} bytes with external data")


def _node(node: onnx.NodeProto) -> Node:
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    for name, value in attributes.items():
        if isinstance(value, onnx.TensorProto):
            attributes[name] = _tensor(value)
    return Node(node.op_type, tuple(node.input), node.output[0], attributes)


def _tensor(tensor: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(np.array(numpy_helper.to_array(tensor)))
