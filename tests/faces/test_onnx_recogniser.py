"""ONNX files as recognisers: agreement with ONNX Runtime, gradients, refusals, docs' example."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from artscraper_runner.errors import MissingModel, UnknownName
from artscraper_runner.faces.network import CHIP_SIDE, distances
from artscraper_runner.faces.recognisers import check_recogniser, load_recogniser
from artscraper_runner.models import onnx_program
from artscraper_runner.models.graph import load_graph
from artscraper_runner.models.weights import UnusableModel

REPOSITORY = Path(__file__).resolve().parents[2]
FACE = (3, CHIP_SIDE, CHIP_SIDE)


class GraphBuilder:
    """Collect nodes with random weights."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, value: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(value, f"w{len(self.weights)}"))
        return self.weights[-1].name

    def add(self, operator: str, *inputs: str | np.ndarray, **attributes) -> str:
        names = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, names, [output], **attributes))
        return output

    def conv(self, values: str, before: int, after: int, *, side: int = 3, stride: int = 1) -> str:
        scale = np.sqrt(2 / (before * side * side))
        weights = self.rng.normal(0, scale, (after, before, side, side)).astype(np.float32)
        attributes = {"strides": [stride] * 2, "pads": [side // 2] * 4}
        return self.add("Conv", values, weights, **attributes)

    def norm(self, values: str, channels: int) -> str:
        draw = lambda low, high: self.rng.uniform(low, high, channels).astype(np.float32)  # noqa: E731
        statistics = draw(0.5, 1.5), draw(-0.2, 0.2), draw(-0.2, 0.2), draw(0.5, 1.5)
        return self.add("BatchNormalization", values, *statistics)

    def prelu(self, values: str, channels: int) -> str:
        slopes = self.rng.uniform(0.1, 0.4, (channels, 1, 1)).astype(np.float32)
        return self.add("PRelu", values, slopes)

    def save(self, path: Path, output: str, *shape: int | str, length: int | None = None) -> Path:
        shape = shape or ("N", *FACE)
        ends = [("faces", shape), (output, (shape[0], length))]
        described = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in ends]
        made = helper.make_graph(self.nodes, "net", described[:1], described[1:], self.weights)
        opsets = [helper.make_opsetid("", 13)]
        onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=8), path)
        return path


def iresnet(path: Path, *, with_head: bool) -> Path:
    """Write a network like ArcFace's iResNet of 18 layers and half its width: 4.4 M weights."""
    net = GraphBuilder()
    values = "faces"
    if with_head:
        border = (np.array([8, 10]), np.array([138, 140]), np.array([2, 3]))
        crop = net.add("Slice", values, *border)
        scales = np.array([1, 1, 112 / 130, 112 / 130], np.float32)
        sized = net.add("Resize", crop, "", scales, mode="linear")
        half = np.array(0.5, np.float32)
        values = net.add("Div", net.add("Sub", sized, half), half)
    values, before = net.prelu(net.norm(net.conv(values, 3, 32), 32), 32), 32
    for channels in (32, 64, 128, 256):
        for stride in (2, 1):
            inner = net.norm(net.conv(net.norm(values, before), before, channels), channels)
            inner = net.conv(net.prelu(inner, channels), channels, channels, stride=stride)
            inner, shortcut = net.norm(inner, channels), values
            if stride == 2:
                shortcut = net.conv(values, before, channels, side=1, stride=2)
                shortcut = net.norm(shortcut, channels)
            values, before = net.add("Add", inner, shortcut), channels
    flat = net.add("Flatten", net.add("Dropout", net.norm(values, 256)))
    weights = net.rng.normal(0, 0.01, (128, 256 * 49)).astype(np.float32)
    values = net.add("Gemm", flat, weights, np.zeros(128, np.float32), transB=1)
    side = CHIP_SIDE if with_head else 112
    return net.save(path, net.norm(values, 128), "N", 3, side, side, length=128)


def small(path: Path, *, batch: int | str = "N") -> str:
    """Write a smooth network of a few operators and return the recogniser's name."""
    net = GraphBuilder()
    scales = np.array([1, 1, 0.3, 0.3], np.float32)
    values = net.add("Resize", "faces", "", scales, mode="linear")
    values = net.add("Sigmoid", net.norm(net.conv(values, 3, 6, stride=2), 6))
    values = net.conv(values, 6, 12, stride=2)
    values = net.add("AveragePool", values, kernel_shape=[3, 3], strides=[2, 2])
    shape = np.array([0 if batch == "N" else 1, -1])
    weights = net.rng.normal(0, 1, (12 * 5 * 5, 8)).astype(np.float32)
    values = net.add("MatMul", net.add("Reshape", values, shape), weights)
    length = net.add("ReduceL2", values, axes=[1])
    net.save(path, net.add("Div", values, length), batch, *FACE, length=8)
    return f"onnx:{path}"


def random_faces(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((count, *FACE), np.float32)


def check_gradients(recogniser, *, step: float = 0.2) -> None:
    faces, others = random_faces(2), random_faces(2, seed=2)
    references = recogniser.embeddings(others)
    embeddings, gradients = recogniser.distance_gradients(faces, references)
    np.testing.assert_allclose(embeddings, recogniser.embeddings(faces), atol=1e-5)
    lengths = np.sqrt(np.square(gradients).sum((1, 2, 3)))
    way = gradients / lengths[:, None, None, None]
    ahead, behind = (
        distances(recogniser.embeddings(faces + sign * way), references)
        for sign in (np.float32(step), np.float32(-step))
    )
    print("gradient error", np.abs((ahead - behind) / (2 * step) / lengths - 1))
    np.testing.assert_allclose((ahead - behind) / (2 * step), lengths, rtol=0.05)


@pytest.mark.parametrize("batch", ["N", 1])
def test_gradients_are_those_of_finite_differences(batch, tmp_path):
    check_gradients(load_recogniser(small(tmp_path / "net.onnx", batch=batch)))


def test_network_that_torch_exports_is_read(tmp_path):
    torch.manual_seed(0)
    layers = torch.nn
    network = layers.Sequential(
        layers.Upsample(size=(50, 50), mode="bilinear"),
        layers.Conv2d(3, 8, 3, stride=2, padding=1),
        layers.BatchNorm2d(8),
        layers.PReLU(8),
        layers.MaxPool2d(2),
        layers.Conv2d(8, 8, 3, padding=1, groups=8),
        layers.Hardtanh(-2, 2),
        layers.AdaptiveAvgPool2d(1),
        layers.Flatten(),
        layers.Linear(8, 5),
    ).eval()
    path, example = tmp_path / "net.onnx", torch.rand(2, *FACE)
    with pytest.warns(DeprecationWarning):
        torch.onnx.export(
            network,
            (example,),
            path,
            dynamo=False,
            input_names=["faces"],
            dynamic_axes={"faces": {0: "count"}},
        )
    faces = random_faces(3)
    found = load_recogniser(f"onnx:{path}").embeddings(faces)
    with torch.no_grad():
        expected = network(torch.from_numpy(faces)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_network_of_real_size_agrees_with_onnx_runtime(tmp_path):
    path = iresnet(tmp_path / "net.onnx", with_head=True)
    assert path.stat().st_size > 4 * 4_000_000
    recogniser = load_recogniser(f"onnx:{path}")
    faces = random_faces(2)
    found = recogniser.embeddings(faces)
    output = onnx.load(path).graph.output[0].name
    (expected,) = load_graph(path, accelerator="cpu").run([output], {"faces": faces})
    print("difference", np.abs(found - expected).max(), "of", np.abs(expected).max())
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    _, gradients = recogniser.distance_gradients(faces, expected[::-1].copy())
    assert gradients.shape == faces.shape
    assert (gradients[:, :, 20:120, 20:120] != 0).mean() > 0.99
    assert not gradients[:, :, :8].any()  # outside the crop


def test_example_of_the_docs_adapts_an_arcface_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    iresnet(Path("arcface.onnx"), with_head=False)
    page = (REPOSITORY / "docs" / "faces.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(code, "docs/faces.md", "exec"), {})
    recogniser = load_recogniser(f"onnx:{tmp_path / 'recogniser.onnx'}")
    faces = random_faces(2)
    embeddings = recogniser.embeddings(faces)
    scale = 0.6 / np.sqrt(2 - 2 * 0.3)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), scale, rtol=1e-5)
    small_faces = torch.nn.functional.interpolate(
        torch.from_numpy(faces), scale_factor=2 / 3, mode="bilinear"
    )
    placed = torch.full((2, 3, 120, 112), 0.5)
    placed[:, :, 20:, 7:107] = small_faces
    aligned = ((placed[:, [2, 1, 0], :112] - 0.5) / 0.5).numpy()
    output = onnx.load("arcface.onnx").graph.output[0].name
    (raw,) = load_graph(Path("arcface.onnx"), accelerator="cpu").run([output], {"faces": aligned})
    expected = raw / np.linalg.norm(raw, axis=1, keepdims=True) * scale
    np.testing.assert_allclose(embeddings, expected, atol=1e-4)


def test_ensemble_with_dlib(tmp_path):
    pytest.importorskip("dlib")
    name = small(tmp_path / "net.onnx")
    ensemble = load_recogniser(f"ensemble:dlib+{name}")
    assert ensemble.embeddings(random_faces(2)).shape == (2, 128 + 8)
    check_gradients(ensemble, step=0.03)  # dlib's network bends sooner


def test_misread_operator_is_refused(tmp_path, monkeypatch):
    name = small(tmp_path / "net.onnx")
    sigmoid = {"Sigmoid": lambda call: call.tensor().sigmoid() + call.tensor() / 50}
    monkeypatch.setattr(onnx_program, "OPERATORS", {**onnx_program.OPERATORS, **sigmoid})
    with pytest.raises(UnusableModel, match="compute different embeddings"):
        load_recogniser(name)


def test_graphs_that_are_no_recognisers_are_refused(tmp_path):
    path = iresnet(tmp_path / "net.onnx", with_head=False)
    with pytest.raises(UnusableModel, match=r"found \(any, 3, 112, 112\); crop and scale"):
        load_recogniser(f"onnx:{path}")
    plane = GraphBuilder()
    plane.save(path, plane.add("Relu", "faces"))
    with pytest.raises(UnusableModel, match="embeddings"):
        load_recogniser(f"onnx:{path}")
    flat = GraphBuilder()
    zero = flat.add("Mul", flat.add("Flatten", "faces"), np.zeros(1, np.float32))
    flat.save(path, flat.add("Add", zero, np.ones(1, np.float32)), length=3 * CHIP_SIDE**2)
    with pytest.raises(UnusableModel, match="gradients"):
        load_recogniser(f"onnx:{path}")
    path.write_bytes(b"no graph")
    with pytest.raises(UnusableModel, match="expected an ONNX file"):
        load_recogniser(f"onnx:{path}")


def test_names_and_missing_files(tmp_path):
    check_recogniser("ensemble:dlib+onnx:/a.onnx")
    with pytest.raises(UnknownName, match=r"onnx:<file\.onnx>"):
        check_recogniser("onnx:")
    with pytest.raises(MissingModel, match=r"absent\.onnx"):
        load_recogniser(f"onnx:{tmp_path / 'absent.onnx'}")
