"""Each supported ONNX operator, computed by torch, against ONNX Runtime on a graph of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from artscraper_runner.models.graph import load_graph
from artscraper_runner.models.onnx_operators import OPERATORS
from artscraper_runner.models.onnx_program import read_program
from artscraper_runner.models.weights import UnusableModel

RNG = np.random.default_rng(0)


def random(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def positive(*shape: int) -> np.ndarray:
    return RNG.uniform(0.5, 2, shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


NONE = np.array([], np.float32)
LINEAR = {"mode": "linear"}


def resize(values: np.ndarray, to: dict[str, np.ndarray], opset: int = 13, **attributes: Any):
    scales = to.get("scales", NONE)
    rest = [to["sizes"]] if "sizes" in to else []
    return ("Resize", [values, NONE, scales, *rest], attributes, opset)


BATCH = random(2, 3, 9, 8)
CASES = [
    ("Conv", [BATCH, random(4, 3, 3, 3), random(4)], {"pads": [1, 1, 1, 1], "strides": [2, 1]}),
    ("Conv", [BATCH, random(6, 1, 3, 2)], {"group": 3, "pads": [0, 1, 2, 0]}),
    ("Conv", [BATCH, random(4, 3, 3, 3)], {"dilations": [2, 3], "pads": [2, 0, 1, 3]}),
    ("Conv", [BATCH, random(4, 3, 3, 4)], {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("Conv", [BATCH, random(4, 3, 4, 3)], {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    ("Conv", [BATCH, random(4, 3, 4, 3)], {"auto_pad": "VALID"}),
    ("BatchNormalization", [BATCH, random(3), random(3), random(3), positive(3)], {"epsilon": 0.1}),
    ("BatchNormalization", [random(4, 3), random(3), random(3), random(3), positive(3)], {}),
    ("PRelu", [BATCH, random(3, 1, 1)], {}),
    ("PRelu", [random(4, 5), random(5)], {}),
    ("Relu", [BATCH], {}),
    ("LeakyRelu", [BATCH], {"alpha": 0.3}),
    ("LeakyRelu", [BATCH], {}),
    ("Sigmoid", [BATCH], {}),
    ("Clip", [BATCH, np.float32(-0.3), np.float32(0.4)], {}),
    ("Clip", [BATCH, np.float32(0)], {}),
    ("Clip", [BATCH], {"min": 0.0, "max": 0.5}, 8),
    ("Add", [BATCH, random(3, 1, 1)], {}),
    ("Sub", [BATCH, random(1, 3, 1, 8)], {}),
    ("Mul", [BATCH, random(8)], {}),
    ("Div", [BATCH, positive(3, 1, 1)], {}),
    ("Div", [ints(7, -7), ints(2, 2)], {}),
    ("Sqrt", [positive(2, 3)], {}),
    ("Pow", [positive(2, 3), floats(2.5)], {}),
    ("Pow", [random(2, 3), floats(2)], {}),
    ("Gemm", [random(2, 5), random(5, 3), random(3)], {"alpha": 0.5, "beta": 2.0}),
    ("Gemm", [random(5, 2), random(3, 5)], {"transA": 1, "transB": 1}),
    ("MatMul", [random(2, 4, 5), random(5, 3)], {}),
    ("MaxPool", [BATCH], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 2, 1]}),
    ("MaxPool", [BATCH], {"kernel_shape": [3, 3], "dilations": [2, 2]}),
    ("MaxPool", [BATCH], {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("AveragePool", [BATCH], {"kernel_shape": [3, 2], "pads": [1, 0, 2, 1]}),
    ("AveragePool", [BATCH], {"kernel_shape": [3, 3], "pads": [1] * 4, "count_include_pad": 1}),
    ("AveragePool", [BATCH], {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    ("GlobalAveragePool", [BATCH], {}),
    ("ReduceMean", [BATCH], {"axes": [2, 3], "keepdims": 0}),
    ("ReduceMean", [BATCH, ints(-1)], {}, 18),
    ("ReduceSum", [BATCH, ints(1)], {"keepdims": 0}),
    ("ReduceSum", [BATCH], {}),
    ("ReduceSum", [BATCH], {"noop_with_empty_axes": 1}),
    ("ReduceL2", [random(4, 6)], {"axes": [1]}),
    ("LpNormalization", [random(4, 6)], {}),
    ("LpNormalization", [random(4, 6)], {"p": 1, "axis": 0}),
    ("Flatten", [BATCH], {}),
    ("Flatten", [BATCH], {"axis": -1}),
    ("Flatten", [BATCH], {"axis": 0}),
    ("Reshape", [BATCH, ints(0, -1, 4)], {}),
    ("Transpose", [BATCH], {"perm": [0, 2, 3, 1]}),
    ("Transpose", [random(2, 3)], {}),
    ("Concat", [BATCH, random(2, 1, 9, 8)], {"axis": 1}),
    ("Slice", [BATCH, ints(1, -6), ints(100, -1), ints(2, 3), ints(3, 2)], {}),
    ("Slice", [BATCH, ints(-1), ints(-(2**63)), ints(1), ints(-1)], {}),
    ("Slice", [BATCH, ints(0, 1), ints(1, 3)], {}),
    ("Slice", [BATCH], {"starts": [1], "ends": [3], "axes": [3]}, 9),
    ("Squeeze", [random(2, 1, 3, 1)], {}),
    ("Squeeze", [random(2, 1, 3, 1), ints(-1)], {}),
    ("Squeeze", [random(2, 1, 3, 1)], {"axes": [1]}, 11),
    ("Unsqueeze", [random(2, 3), ints(0, -1)], {}),
    ("Unsqueeze", [random(2, 3)], {"axes": [1, 3]}, 11),
    resize(BATCH, {"sizes": ints(2, 3, 4, 13)}, **LINEAR),
    resize(BATCH, {"sizes": ints(2, 3, 18, 5)}, **LINEAR),
    resize(BATCH, {"scales": floats(1, 1, 1.3, 0.7)}, **LINEAR),
    resize(
        BATCH,
        {"sizes": ints(2, 3, 5, 17)},
        coordinate_transformation_mode="align_corners",
        **LINEAR,
    ),
    resize(
        BATCH, {"sizes": ints(2, 3, 5, 17)}, coordinate_transformation_mode="pytorch_half_pixel"
    ),
    resize(BATCH, {"sizes": ints(2, 3, 4, 17)}),
    resize(BATCH, {"scales": floats(1, 1, 2, 0.5)}, nearest_mode="floor"),
    resize(BATCH, {"scales": floats(1, 1, 2, 0.5)}, nearest_mode="ceil"),
    resize(BATCH, {"scales": floats(1, 1, 2, 0.5)}, nearest_mode="round_prefer_ceil"),
    resize(BATCH, {"scales": floats(1, 1, 2, 0.5)}, nearest_mode="round_prefer_floor"),
    resize(BATCH, {"sizes": ints(2, 3, 17, 4)}, coordinate_transformation_mode="align_corners"),
    resize(BATCH, {"sizes": ints(4, 13)}, 19, axes=[2, 3], **LINEAR),
    ("Pad", [BATCH, ints(0, 0, 1, 2, 0, 0, 3, 0), np.float32(0.7)], {}),
    ("Pad", [BATCH, ints(0, 0, -1, 2, 0, 0, -3, 0)], {}),
    ("Pad", [BATCH, ints(1, 2), np.float32(0.5), ints(3)], {}, 18),
    ("Pad", [BATCH], {"pads": [0, 0, 1, 2, 0, 0, 3, 0], "value": 0.3}, 8),
    ("Identity", [BATCH], {}),
    ("Dropout", [BATCH], {}),
    ("Shape", [BATCH], {}),
    ("Shape", [BATCH], {"start": 1, "end": -1}, 15),
    ("Gather", [BATCH, ints(2, 1, 0)], {"axis": 1}),
    ("Gather", [BATCH, np.int64(-1)], {"axis": -1}),
    ("Cast", [BATCH * 5], {"to": TensorProto.INT64}),
    ("Constant", [], {"value": numpy_helper.from_array(random(2, 3))}),
    ("Constant", [], {"value_floats": [0.5, 2.0]}),
    ("Constant", [], {"value_int": 3}),
]


def save(path: Path, nodes: list, constants: dict[str, np.ndarray], values, opset=13) -> Path:
    """Write a graph from input x to output y, with an output type that is left open."""
    kind = helper.np_dtype_to_tensor_dtype(values.dtype)
    made = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", kind, values.shape)],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=9)
    inferred = onnx.shape_inference.infer_shapes(model)
    inferred.graph.output[0].type.tensor_type.shape.SetInParent()
    onnx.save(inferred, path)
    return path


def one_operator(path: Path, name: str, inputs: list, attributes: dict, opset=13) -> np.ndarray:
    """Write a graph of one operator and return its input."""
    names = [f"c{at}" if value.size else "" for at, value in enumerate(map(np.asarray, inputs))]
    constants = dict(zip(names[1:], map(np.asarray, inputs[1:]), strict=True)) if inputs else {}
    constants.pop("", None)
    if not inputs:
        nodes = [helper.make_node(name, [], ["y"], **attributes)]
        return_value = random(1)
        save(path, nodes, {}, return_value, opset)
        return return_value
    node = helper.make_node(name, ["x", *names[1:]], ["y"], **attributes)
    save(path, [node], constants, inputs[0], opset)
    return inputs[0]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_operator_agrees_with_onnx_runtime(case, tmp_path):
    path = tmp_path / "graph.onnx"
    values = one_operator(path, *case)
    found = read_program(path)(torch.from_numpy(values.copy())).numpy()
    (expected,) = load_graph(path, accelerator="cpu").run(["y"], {"x": values})
    assert found.shape == np.shape(expected)
    assert found.dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)


def test_every_supported_operator_is_tested():
    assert {case[0] for case in CASES} == set(OPERATORS)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (("Softmax", [BATCH], {}), "'Softmax' is not supported; supported: Add, AveragePool"),
        (("MaxPool", [BATCH], {"kernel_shape": [2, 2], "ceil_mode": 1}), "MaxPool: ceil_mode"),
        (("Pad", [BATCH, ints(0, 0, 1, 1, 0, 0, 1, 1)], {"mode": "reflect"}), "Pad: mode"),
        (resize(BATCH, {"sizes": ints(2, 3, 4, 4)}, mode="cubic"), "Resize: mode 'cubic'"),
        (
            resize(BATCH, {"sizes": ints(2, 3, 4, 4)}, coordinate_transformation_mode="asymmetric"),
            "Resize: coordinate_transformation_mode 'asymmetric'; supported: half_pixel",
        ),
        (resize(BATCH, {"sizes": ints(2, 3, 40000, 40000)}), "Resize: expected at most"),
        (("Conv", [BATCH, random(4, 3, 3, 3)], {"pads": [99999] * 4}), "Conv: expected at most"),
        (("Conv", [BATCH, random(4, 5, 3, 3)], {}), "Conv cannot be computed"),
        (("Conv", [random(2, 3, 9), random(4, 3, 3)], {}), "found 3 dimensions"),
        (("Gather", [BATCH, ints(3)], {"axis": 1}), "Gather cannot be computed"),
        (("Cast", [BATCH], {"to": TensorProto.FLOAT16}), "Cast: expected a cast to float"),
    ],
)
def test_unsupported_variants_are_refused(case, message, tmp_path):
    path = tmp_path / "graph.onnx"
    values = one_operator(path, *case)
    with pytest.raises(UnusableModel, match=r"graph\.onnx") as refusal:
        read_program(path)(torch.from_numpy(values.copy()))
    assert message in refusal.value.public


def test_shape_of_a_batch_is_followed(tmp_path):
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["count"]),
        helper.make_node("Unsqueeze", ["count", "axis"], ["counts"]),
        helper.make_node("Concat", ["counts", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]
    constants = {"zero": np.array(0), "axis": ints(0), "rest": ints(-1)}
    program = read_program(save(tmp_path / "graph.onnx", nodes, constants, BATCH))
    assert program(torch.zeros(5, 3, 4, 4)).shape == (5, 48)


def external(path: Path, location: str, **entries: int) -> Path:
    """Write a graph that adds 6 numbers of external data to its input."""
    node = helper.make_node("Add", ["x", "w"], ["y"])
    save(path, [node], {"w": random(2, 3)}, random(2, 3))
    model = onnx.load(path)
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_is_read_from_the_folder_of_the_file_alone(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    weights = random(2, 3)
    for place in (folder, tmp_path):
        (place / "weights").write_bytes(weights.tobytes())
    (folder / "link").symlink_to(tmp_path / "weights")
    program = read_program(external(folder / "graph.onnx", "weights"))
    np.testing.assert_array_equal(program(torch.zeros(2, 3)).numpy(), weights)
    for location in ("../weights", str(tmp_path / "weights"), "link", "none", "", "a\0b"):
        with pytest.raises(UnusableModel, match="in its own folder"):
            read_program(external(folder / "graph.onnx", location))
    with pytest.raises(UnusableModel, match="with external data"):
        read_program(external(folder / "graph.onnx", "weights", length=2**31))
    with pytest.raises(UnusableModel, match="valid ONNX graph"):
        read_program(external(folder / "graph.onnx", "weights", length=20))


def test_damaged_and_large_files_are_refused(tmp_path):
    path = tmp_path / "graph.onnx"
    one_operator(path, "Conv", [BATCH, random(4, 3, 3, 3)], {})
    whole = path.read_bytes()
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        with pytest.raises(UnusableModel):
            read_program(path)
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            read_program(path)(torch.from_numpy(BATCH))
        except UnusableModel as refusal:
            assert str(tmp_path) not in refusal.public
    with path.open("wb") as file:
        file.truncate(2**30 + 1)
    with pytest.raises(UnusableModel, match="at most 1073741824 bytes"):
        read_program(path)
