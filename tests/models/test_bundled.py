"""The encoder that ships in the package: its files, its gradient, and what it is worth."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

from artscraper_runner.errors import MissingModel
from artscraper_runner.models import bundled, load_encoder
from artscraper_runner.models.bundled import GraphEncoder
from artscraper_runner.models.padding import pad_to_multiple
from artscraper_runner.models.protocol import EncoderOptions
from artscraper_runner.models.weights import UnusableModel
from tests.models.conftest import by_torch, random_objective
from training.encoder_graph import gradient_graph, latents_graph
from training.export import stored_weights
from training.student import StudentNetwork, shape_of

SIZES = [(64, 64), (40, 72), (13, 50), (1, 1)]


@pytest.fixture(scope="module")
def network() -> StudentNetwork:
    """The same network in torch."""
    state = {
        key: value.float() for key, value in load_file(bundled.FOLDER / bundled.WEIGHTS).items()
    }
    network = StudentNetwork(shape_of(state))
    network.load_state_dict(state)
    return network.requires_grad_(False)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, height, width), np.float32)


@pytest.mark.parametrize(("height", "width"), [(904, 8), (400, 8), (8, 400)])
def test_narrow_pictures_have_finite_latents_on_every_processor(height: int, width: int) -> None:
    encoder = load_encoder("bundled", EncoderOptions())
    seen = picture(height, width)
    latents = encoder.latents(seen)
    assert np.isfinite(latents).all()
    value, gradient = encoder.value_and_gradient(seen, random_objective(latents))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def latent_by_torch(network: StudentNetwork, leaf: torch.Tensor) -> torch.Tensor:
    """Padded as the encoder pads, but differentiably."""
    height, width = leaf.shape[2:]
    numbers = np.arange(height * width, dtype=np.float32).reshape(1, 1, height, width)
    places = torch.from_numpy(pad_to_multiple(numbers, 8)[0, 0]).long()
    return network(leaf.flatten(2)[..., places]).flatten(1)


def test_each_weight_is_stored_once_as_float16() -> None:
    weights = bundled.FOLDER / bundled.WEIGHTS
    assert weights.stat().st_size < 6_000_000
    assert {value.dtype for value in load_file(weights).values()} == {torch.float16}
    for name in (bundled.LATENTS_GRAPH, bundled.GRADIENT_GRAPH):
        graph = onnx.load(bundled.FOLDER / name, load_external_data=False).graph
        inside = [tensor for tensor in graph.initializer if not tensor.external_data]
        assert (bundled.FOLDER / name).stat().st_size < 40_000
        assert all(len(tensor.raw_data) < 1000 for tensor in inside)


def test_graphs_equal_the_export() -> None:
    weights = stored_weights(bundled.FOLDER / bundled.WEIGHTS)
    for name, graph in (
        (bundled.LATENTS_GRAPH, latents_graph),
        (bundled.GRADIENT_GRAPH, gradient_graph),
    ):
        expected = graph(weights).SerializeToString(deterministic=True)
        assert (bundled.FOLDER / name).read_bytes() == expected


@pytest.mark.parametrize("size", SIZES)
def test_latents_and_gradients_agree_with_torch(size, network) -> None:
    encoder = load_encoder("bundled", EncoderOptions(accelerator="cpu"))
    leaf = torch.from_numpy(picture(*size)).requires_grad_(True)
    expected = latent_by_torch(network, leaf)
    latent = encoder.latents(picture(*size))
    assert np.allclose(latent, expected.detach().numpy(), atol=1e-4)
    objective = random_objective(latent)
    score = by_torch(expected, objective)
    (gradient,) = torch.autograd.grad(score, leaf)
    value, found = encoder.value_and_gradient(picture(*size), objective)
    assert value == pytest.approx(score.item() + objective.offset, rel=1e-4)
    assert np.abs(found - gradient.numpy()).max() < 1e-4 * np.abs(found).max()


@pytest.mark.parametrize("size", SIZES)
def test_gradient_agrees_with_finite_differences(size) -> None:
    encoder = load_encoder("bundled", EncoderOptions(accelerator="cpu"))
    objective = random_objective(encoder.latents(picture(*size)))
    _, gradient = encoder.value_and_gradient(picture(*size), objective)
    step = np.float32(0.001) * gradient / np.abs(gradient).max()
    values = [
        encoder.value_and_gradient(picture(*size) + sign * step, objective)[0] for sign in (1, -1)
    ]
    assert (values[0] - values[1]) / 2 == pytest.approx(float((gradient * step).sum()), rel=0.02)


@pytest.mark.parametrize("accelerator", ["cpu", "openvino"])
def test_results_do_not_depend_on_thread_count(accelerator, monkeypatch) -> None:
    if accelerator == "openvino":
        pytest.importorskip("openvino", reason="needs the optional extra `openvino`")
    seen = set()
    for threads in ("1", "2", "3", "5"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        encoder = load_encoder("bundled", EncoderOptions(accelerator=accelerator))
        latent = encoder.latents(picture(72, 96))
        value, gradient = encoder.value_and_gradient(picture(72, 96), random_objective(latent))
        seen.add((latent.tobytes(), value, gradient.tobytes()))
    assert len(seen) == 1


def test_openvino_gradient_has_the_same_direction(network) -> None:
    pytest.importorskip("openvino", reason="needs the optional extra `openvino`")
    exact, fast = (
        load_encoder("bundled", EncoderOptions(accelerator=name)) for name in ("cpu", "openvino")
    )
    objective = random_objective(exact.latents(picture(64, 64)))
    gradients = [
        encoder.value_and_gradient(picture(64, 64), objective)[1] for encoder in (exact, fast)
    ]
    a, b = (gradient.ravel() / np.linalg.norm(gradient) for gradient in gradients)
    assert float(a @ b) > 0.999


@pytest.mark.parametrize("half_width", [0, 12])
def test_graphs_follow_weight_widths(tmp_path: Path, half_width: int) -> None:
    """Widths and depths are those of the weights."""
    from training.export import export
    from training.student import StudentShape

    torch.manual_seed(0)
    wide = StudentNetwork(
        StudentShape(
            half_width=half_width, quarter_width=24, eighth_width=40, blocks=2, latent_channels=5
        )
    )
    for parameter in wide.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    export(wide.state_dict(), tmp_path, steps=1)
    encoder = GraphEncoder(tmp_path, name="wide", accelerator="cpu")
    halves = {key: value.half().float() for key, value in wide.state_dict().items()}
    wide.load_state_dict(halves)
    leaf = torch.from_numpy(picture(32, 48)).requires_grad_(True)
    expected = wide(leaf).flatten(1)
    latent = encoder.latents(picture(32, 48))
    assert np.allclose(latent, expected.detach().numpy(), atol=1e-4)
    objective = random_objective(latent)
    (gradient,) = torch.autograd.grad(by_torch(expected, objective), leaf)
    found = encoder.value_and_gradient(picture(32, 48), objective)[1]
    assert np.abs(found - gradient.numpy()).max() < 1e-4 * np.abs(found).max()


@pytest.mark.parametrize(
    "missing", [bundled.WEIGHTS, bundled.LATENTS_GRAPH, bundled.GRADIENT_GRAPH]
)
def test_missing_weights_explain_how_to_export_them(missing: str, tmp_path: Path) -> None:
    _copy(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(MissingModel, match=r"training\.distil") as caught:
        GraphEncoder(tmp_path, name="bundled", accelerator="cpu")
    assert caught.value.searched == (tmp_path,)


@pytest.mark.parametrize("damaged", [bundled.WEIGHTS, bundled.LATENTS_GRAPH])
def test_damaged_file_is_refused(damaged: str, tmp_path: Path) -> None:
    _copy(tmp_path)
    (tmp_path / damaged).write_bytes(b"damaged")
    encoder = GraphEncoder(tmp_path, name="bundled", accelerator="cpu")
    with pytest.raises(UnusableModel, match="expected the graph and the weights") as caught:
        encoder.latents(picture(8, 8))
    assert str(tmp_path) not in caught.value.public


def _copy(folder: Path) -> None:
    for name in (bundled.WEIGHTS, bundled.LATENTS_GRAPH, bundled.GRADIENT_GRAPH):
        shutil.copy(bundled.FOLDER / name, folder / name)


def test_bundled_latents_follow_the_teacher(painting: np.ndarray, shared_models: Path) -> None:
    teacher = load_encoder("taef2", EncoderOptions(models_dir=shared_models))
    ours, theirs = load_encoder("bundled").latents(painting), teacher.latents(painting)
    assert float((ours * theirs).sum()) / np.linalg.norm(ours) / np.linalg.norm(theirs) > 0.85


def test_bundled_attack_moves_the_teacher_more_than_noise(
    painting: np.ndarray, shared_models: Path
) -> None:
    student = load_encoder("bundled")
    teacher = load_encoder("taef2", EncoderOptions(models_dir=shared_models))
    signs = np.random.default_rng(0).choice(np.float32([-1, 1]), painting.shape)
    budget, original = np.float32(8 / 255), student.latents(painting)
    objective = bundled.QuadraticObjective(original, 1.0, np.zeros_like(original))
    change = signs * budget / 8
    for _ in range(6):
        _, gradient = student.value_and_gradient(painting + change, objective)
        change = (change + budget / 3 * np.sign(gradient)).clip(-budget, budget)

    def effect(difference: np.ndarray) -> float:
        seen = teacher.latents((painting + difference).clip(0, 1))
        return float(np.linalg.norm(seen - teacher.latents(painting)))

    same_error = signs * np.sqrt(np.square(change).mean())
    assert effect(change) > 1.7 * effect(same_error)
