"""The recogniser agrees with dlib's own and its gradients with torch's; other files are refused."""

from __future__ import annotations

import os
from pathlib import Path

import dlib
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from artscraper_runner.faces.network import (
    BLOCKS,
    DEVIATION,
    LANDMARKS,
    MEAN,
    RECOGNITION,
    FaceNetwork,
    distances,
    folded_weights,
    model_file,
)
from artscraper_runner.models.weights import UnusableModel

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGES = REPOSITORY.parent / "shared" / "images"
PICTURES = [REPOSITORY / "input" / "astronaut.jpg", *sorted(IMAGES.glob("*/*.*"))]


@pytest.fixture(scope="module")
def network() -> FaceNetwork:
    return FaceNetwork(model_file(RECOGNITION))


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    """Two aligned faces, float32 (2, 3, 150, 150)."""
    pixels = np.array(Image.open(PICTURES[0]).convert("RGB").crop((170, 40, 320, 190)))
    face = pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255
    grain = np.random.default_rng(0).normal(0, 0.05, face.shape).astype(np.float32)
    return np.concatenate([face, (face + grain).clip(0, 1)])


def by_torch(faces: torch.Tensor) -> torch.Tensor:
    """Return the same network written with torch."""
    weights = {key: torch.from_numpy(value) for key, value in _weights().items()}

    def convolved(x: torch.Tensor, name: str, **how: int) -> torch.Tensor:
        return functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **how)

    x = (faces * 255 - torch.tensor(MEAN).view(1, 3, 1, 1)) / DEVIATION
    x = functional.max_pool2d(functional.relu(convolved(x, "stem", stride=2)), 3, 2)
    for index, (_, halves) in enumerate(BLOCKS):
        how = {"stride": 2} if halves else {"padding": 1}
        inner = functional.relu(convolved(x, f"blocks.{index}.first", **how))
        inner = convolved(inner, f"blocks.{index}.second", padding=1)
        short = functional.avg_pool2d(x, 2) if halves else x
        size = [max(pair) for pair in zip(inner.shape, short.shape, strict=True)]
        inner, short = (
            functional.pad(
                y, (0, size[3] - y.shape[3], 0, size[2] - y.shape[2], 0, size[1] - y.shape[1])
            )
            for y in (inner, short)
        )
        x = functional.relu(inner + short)
    return x.mean((2, 3)) @ weights["head.weight"].T


def _weights() -> dict[str, np.ndarray]:
    return folded_weights(model_file(RECOGNITION))


def test_network_agrees_with_dlib_on_all_samples(network):
    detector = dlib.get_frontal_face_detector()
    landmarks = dlib.shape_predictor(str(model_file(LANDMARKS)))
    recogniser = dlib.face_recognition_model_v1(str(model_file(RECOGNITION)))
    seen = 0
    for path in PICTURES:
        pixels = np.array(Image.open(path).convert("RGB"))
        for box in detector(pixels, 0):
            chip = dlib.get_face_chip(pixels, landmarks(pixels, box), 150, 0.25)
            expected = np.array(recogniser.compute_face_descriptor(chip))
            picture = chip.transpose(2, 0, 1)[None].astype(np.float32) / 255
            assert np.abs(network.embeddings(picture)[0] - expected).max() < 1e-3, path.name
            seen += 1
    assert seen >= (6 if IMAGES.is_dir() else 1)


def test_embeddings_and_gradients_agree_with_torch(network, faces):
    references = np.random.default_rng(1).normal(0, 0.1, (2, 128)).astype(np.float32)
    leaf = torch.from_numpy(faces).requires_grad_(True)
    expected = by_torch(leaf)
    apart = (expected - torch.from_numpy(references)).square().sum(1).sqrt()
    (gradient,) = torch.autograd.grad(apart.sum(), leaf)
    embeddings, gradients = network.distance_gradients(faces, references)
    assert np.allclose(embeddings, expected.detach().numpy(), atol=1e-5)
    assert np.allclose(network.embeddings(faces), embeddings, atol=1e-6)
    assert np.allclose(distances(embeddings, references), apart.detach().numpy(), atol=1e-5)
    # A ReLU whose input is nearly zero may go either way.
    error = np.linalg.norm(gradients - gradient.numpy())
    assert error < 1e-3 * np.linalg.norm(gradients)


def test_gradients_agree_with_finite_differences(network, faces):
    references = np.zeros((2, 128), np.float32)
    _, gradients = network.distance_gradients(faces, references)
    step = 0.0003 * gradients / np.abs(gradients).max()
    rises = [distances(network.embeddings(faces + sign * step), references) for sign in (1, -1)]
    slopes = (gradients * step).sum((1, 2, 3))
    assert (rises[0] - rises[1]) / 2 == pytest.approx(slopes, rel=0.03)


def test_zero_distance_has_a_finite_gradient(network, faces):
    _, gradients = network.distance_gradients(faces, network.embeddings(faces))
    assert np.isfinite(gradients).all()


def test_gradient_of_a_face_does_not_depend_on_its_batch(network, faces):
    references = np.zeros((2, 128), np.float32)
    both = network.distance_gradients(faces, references)[1]
    alone = network.distance_gradients(faces[:1], references[:1])[1]
    assert np.allclose(both[:1], alone, atol=1e-6)


@pytest.mark.parametrize("threads", ["1", "3"])
def test_gradients_do_not_depend_on_thread_count(network, faces, threads, monkeypatch):
    references = np.zeros((2, 128), np.float32)
    expected = network.distance_gradients(faces, references)
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    other = FaceNetwork(model_file(RECOGNITION)).distance_gradients(faces, references)
    assert [each.tobytes() for each in other] == [each.tobytes() for each in expected]


def _cut(content: bytes) -> bytes:
    return content[:-2_000_000]


def _other_numbers(content: bytes) -> bytes:
    start = content.find(bytes([1, 2, 2, 0x80, 0x12])) + 12
    return content[:start] + b"\xff" * 400 + content[start + 400 :]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, "the file ends within"),
        (lambda content: b"", "found none"),
        (lambda content: os.urandom(100_000), "found none"),
        (lambda content: content[:5000] + content[30_000:], "found none|finite"),
        (_other_numbers, "finite"),
    ],
)
def test_file_of_another_format_is_refused(damage, message, tmp_path):
    path = tmp_path / "weights.dat"
    path.write_bytes(damage(model_file(RECOGNITION).read_bytes()))
    with pytest.raises(UnusableModel, match=message):
        FaceNetwork(path)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(UnusableModel, match="No such file"):
        FaceNetwork(tmp_path / "none.dat")
