"""The gradients of what cloaks and attacks climb on faces, against torch and finite differences."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from artscraper_runner.attacks.run_cache import RunCache
from artscraper_runner.faces import objective as module
from artscraper_runner.faces import preservation
from artscraper_runner.faces.detection import find_faces
from artscraper_runner.faces.fawkes_published import dssim, dssim_and_gradient
from artscraper_runner.faces.geometry import Alignment, FaceRegion
from artscraper_runner.faces.network import CHIP_SIDE
from artscraper_runner.faces.objective import CloakObjective
from artscraper_runner.faces.preservation import CloakedFaces, cloaked_faces

SQUARE = Alignment((60.0, 55.0), 70.0, 0.2)


class Linear:
    """A recogniser whose embedding is a linear map of the face, so that gradients are exact."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.map = rng.normal(0, 0.01, (128, 3 * CHIP_SIDE**2)).astype(np.float32)

    def embeddings(self, faces: np.ndarray) -> np.ndarray:
        return faces.reshape(len(faces), -1) @ self.map.T

    def distance_gradients(self, faces, references):
        embeddings = self.embeddings(faces)
        way = embeddings - references
        lengths = np.linalg.norm(way, axis=1, keepdims=True)
        return embeddings, ((way / lengths) @ self.map).reshape(faces.shape)


@pytest.fixture(autouse=True)
def _linear(monkeypatch):
    network = Linear()
    monkeypatch.setattr(preservation, "face_network", lambda: network)


def picture(*size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 3, *size), np.float32)


def objective_for(region: FaceRegion, *, target: bool = False, others: bool = False):
    rng = np.random.default_rng(2)
    embeddings = [rng.normal(0, 1, (1, 128)).astype(np.float32) for _ in range(3)]
    neighbours = ((SQUARE.moved(across=0.3), embeddings[2]),) if others else ()
    return CloakObjective(
        region, embeddings[0], embeddings[1] if target else None, neighbours, rng, Linear()
    )


@pytest.mark.parametrize("side", [70.0, 400.0], ids=["small", "shrunk"])
@pytest.mark.parametrize("more", [{}, {"target": True}, {"others": True}], ids=str)
def test_cloak_gradient_agrees_with_finite_differences(side, more, monkeypatch):
    """At the halved view, since JPEG has no gradient of its own; without errors of alignment."""
    monkeypatch.setattr(module, "_JITTER", 0.0)
    square = Alignment((side, side), side, 0.2)
    region = FaceRegion.around(square, (int(2 * side), int(2 * side)))
    objective, seen = objective_for(region, **more), picture(*region.size)
    _, gradient, _ = objective(seen, 1)
    step = picture(*region.size, seed=3) - np.float32(0.5)
    step *= np.float32(0.02)
    up, down = (objective(seen + sign * step, 1)[0] for sign in (1, -1))
    assert (up - down) / 2 == pytest.approx(float((gradient * step).sum()), rel=0.02)


def test_jpeg_view_passes_the_gradient_of_subsampled_chroma(monkeypatch):
    monkeypatch.setattr(module, "_JITTER", 0.0)
    monkeypatch.setattr(module, "through_jpeg", lambda quality: module.scaled((0, 0), 1.0))
    region = FaceRegion.around(SQUARE, (120, 120))
    objective, seen = objective_for(region), picture(*region.size)
    _, gradient, _ = objective(seen, 0)
    step = np.float32(0.02) * (picture(*region.size, seed=3) - np.float32(0.5))
    up, down = (objective(seen + sign * step, 0)[0] for sign in (1, -1))
    assert (up - down) / 2 == pytest.approx(float((gradient * step).sum()), rel=0.02)


def test_alignment_errors_follow_the_seed():
    region = FaceRegion.around(SQUARE, (120, 120))
    seen = picture(*region.size)
    first, again = (objective_for(region)(seen, 1) for _ in range(2))
    assert first[0] == again[0] and np.array_equal(first[1], again[1])


def face(alignment: Alignment) -> SimpleNamespace:
    return SimpleNamespace(alignment=alignment)


def cloaked_for(size, *, preserved: float) -> CloakedFaces:
    original = (picture(240, 220)[0].transpose(1, 2, 0) * 127 + 64).astype(np.uint8)
    change = np.random.default_rng(4).integers(-40, 41, original.shape)
    before = (original + change).astype(np.uint8)
    squares = [face(Alignment((100.0, 120.0), 90.0, 0.1)), face(Alignment((60.0, 60.0), 60.0, 0))]
    cloaked = cloaked_faces(original, before, squares, size, seed=1, cache=RunCache())
    assert cloaked is not None and len(cloaked.faces) == 2
    faces = tuple(
        preservation._CloakedFace(f.before, f.alignment, f.working, f.reference, preserved)
        for f in cloaked.faces
    )
    return CloakedFaces(faces, size, np.random.default_rng(5))


def test_preservation_gradient_agrees_with_finite_differences(monkeypatch):
    monkeypatch.setattr(module, "_JITTER", 0.0)
    size = (120, 110)
    cloaked = cloaked_for(size, preserved=50.0)  # far more than there is: no share is reached
    step = np.float32(0.02) * (picture(*size, seed=6) - np.float32(0.5))
    zero = np.zeros_like(step)
    term = cloaked.with_preservation_term(lambda picture, _: (0.0, zero.copy()), lambda: zero)
    _, gradient = term(zero, 0)
    up, down = (term(sign * step, 0)[0] for sign in (1, -1))
    assert np.abs(gradient).max() > 0
    assert (up - down) / 2 == pytest.approx(float((gradient * step).sum()), rel=0.02)


def test_preservation_term_vanishes_for_sufficient_cloak():
    size = (120, 110)
    cloaked = cloaked_for(size, preserved=1e-3)
    zero = np.zeros((1, 3, *size), np.float32)
    term = cloaked.with_preservation_term(lambda picture, _: (2.0, zero + 1), lambda: zero)
    value, gradient = term(zero, 0)
    assert value == pytest.approx(2.0 + 2 * preservation.WEIGHT)
    assert np.array_equal(gradient, zero + 1)


def test_preservation_needs_cloaks(portrait):
    faces = find_faces(portrait)
    assert (
        cloaked_faces(portrait, portrait, faces, portrait.shape[:2], seed=0, cache=RunCache())
        is None
    )
    assert (
        cloaked_faces(portrait, portrait + 1, (), portrait.shape[:2], seed=0, cache=RunCache())
        is None
    )


def ssim_by_torch(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    steps = torch.arange(11.0) - 5
    taps = torch.exp(-(steps**2) / (2 * 1.5**2))
    taps = taps / taps.sum()
    kernel = torch.outer(taps, taps).expand(3, 1, -1, -1)

    def mean(x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, kernel, groups=3)

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return (top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean()


def test_dssim_and_its_gradient_agree_with_torch():
    a, b = picture(40, 33), picture(40, 33, seed=1) * 0.3 + 0.5 * picture(40, 33)
    leaf = torch.from_numpy(a).requires_grad_(True)
    expected = (1 - ssim_by_torch(leaf, torch.from_numpy(b))) / 2
    (gradient,) = torch.autograd.grad(expected, leaf)
    value, found = dssim_and_gradient(a, b)
    assert value == pytest.approx(expected.item(), rel=1e-4) == dssim(a, b)
    assert np.abs(found - gradient.numpy()).max() < 1e-3 * np.abs(found).max()


def test_dssim_gradient_agrees_with_finite_differences():
    a, b = picture(30, 30), picture(30, 30, seed=1)
    _, gradient = dssim_and_gradient(a, b)
    step = np.float32(0.01) * gradient / np.abs(gradient).max()
    rise = (dssim(a + step, b) - dssim(a - step, b)) / 2
    assert rise == pytest.approx(float((gradient * step).sum()), rel=0.02)
