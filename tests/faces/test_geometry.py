"""Faces are cut out as dlib cuts them, at every size, and gradients find their way back."""

from __future__ import annotations

import dlib
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from artscraper_runner.attacks.run_cache import RunCache
from artscraper_runner.faces.detection import faces_in
from artscraper_runner.faces.geometry import Alignment, FaceRegion, aligned_face, chip_view
from artscraper_runner.faces.network import CHIP_SIDE, LANDMARKS, model_file

ALIGNMENTS = [
    Alignment((40.0, 33.0), 50.0, 0.3),
    Alignment((5.0, 70.0), 120.0, -2.0),  # reaches over the border
    Alignment((45.0, 40.0), 420.0, 0.1),  # halved first
]


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 3, *shape), np.float32)


def by_torch(picture: torch.Tensor, alignment: Alignment) -> torch.Tensor:
    """Return the same cut by torch's own sampling."""
    centre, side = alignment.centre, alignment.side
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = torch.outer(taps, taps).expand(3, 1, -1, -1)
    while (side + 1) / 2 > CHIP_SIDE:
        picture = functional.conv2d(picture, kernel, stride=2, padding=2, groups=3)
        centre, side = (centre[0] / 2 - 0.25, centre[1] / 2 + 0.25), (side + 1) / 2
    steps = torch.linspace(-0.5, 0.5, CHIP_SIDE) * (side - 1)
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    cos, sin = np.cos(alignment.angle), np.sin(alignment.angle)
    grid = torch.stack(
        [centre[0] + cos * across - sin * down, centre[1] + sin * across + cos * down], -1
    )
    height, width = picture.shape[2:]
    scale = torch.tensor([2 / (width - 1), 2 / (height - 1)])
    return functional.grid_sample(picture, (grid * scale - 1)[None], align_corners=True)


@pytest.mark.parametrize("scale", [1, 2, 5])
def test_chip_agrees_with_dlib(portrait, scale):
    pixels = np.array(Image.fromarray(portrait).resize((260 * scale, 260 * scale)))
    box = dlib.rectangle(*(scale * side for side in (86, 57, 175, 146)))
    shape = dlib.shape_predictor(str(model_file(LANDMARKS)))(pixels, box)
    expected = dlib.get_face_chip(pixels, shape, 150, 0.25).astype(np.float32)
    points = np.array([(point.x, point.y) for point in shape.parts()], float)
    picture = pixels.transpose(2, 0, 1)[None].astype(np.float32)
    view = chip_view(Alignment.of_landmarks(points), picture.shape[2:])
    chip = view.forward(picture)[0].transpose(1, 2, 0)
    # dlib cuts fractions off, once more in each of the halved pictures.
    assert np.abs(chip - expected).mean() < 2.5
    assert abs(np.median(chip - expected)) < 2.0


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("size", [(80, 90), (71, 93)])
def test_chip_and_adjoint_agree_with_torch(alignment, size):
    leaf = torch.from_numpy(random(*size)).requires_grad_(True)
    expected, view = by_torch(leaf, alignment), chip_view(alignment, size)
    assert np.allclose(view.forward(random(*size)), expected.detach().numpy(), atol=2e-4)
    slope = random(CHIP_SIDE, CHIP_SIDE, seed=1)
    (gradient,) = torch.autograd.grad((expected * torch.from_numpy(slope)).sum(), leaf)
    error = np.abs(view.adjoint(slope) - gradient.numpy()).max()
    assert error < 2e-4 * np.abs(gradient.numpy()).max()


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_chip_adjoint_agrees_with_finite_differences(alignment):
    view, step = chip_view(alignment, (80, 90)), random(80, 90, seed=2) - np.float32(0.5)
    moved = view.forward(random(80, 90) + step) - view.forward(random(80, 90))
    slope = random(CHIP_SIDE, CHIP_SIDE, seed=1)
    assert (moved * slope).sum() == pytest.approx(
        float((view.adjoint(slope) * step).sum()), rel=1e-3
    )


def test_chip_is_black_outside_the_picture():
    chip = chip_view(Alignment((0.0, 0.0), 40.0, 0.3), (40, 60)).forward(
        np.ones((1, 3, 40, 60), np.float32)
    )
    assert chip[0, :, 0, 0].max() == 0 and chip[0, :, -1, -1].min() == 1


def test_alignment_is_moved_and_scaled():
    square = Alignment((100.0, 60.0), 80.0, 0.2).moved(across=0.5, by=2)
    assert square.centre == (140.0, 60.0) and square.side == 160.0
    half = square.in_copy(0.5, 0.5, left=20, top=10)
    assert half.centre == pytest.approx((59.75, 24.75)) and half.side == 80.0


def test_surroundings_cover_the_chip(portrait):
    wide = np.pad(portrait, ((300, 300), (300, 300), (0, 0)), mode="reflect")
    large = np.repeat(np.repeat(wide, 4, 0), 4, 1)
    face, *_ = faces_in(portrait, RunCache())
    moved = face.alignment.in_copy(4, 4, left=-300, top=-300)
    whole = large.transpose(2, 0, 1)[None].astype(np.float32) / 255
    expected = chip_view(moved, large.shape[:2]).forward(whole)
    assert np.abs(aligned_face(large, moved) - expected).max() < 0.1
    assert np.abs(aligned_face(large, moved) - expected).mean() < 0.01


def test_faces_are_cached_per_run(portrait):
    cache = RunCache()
    assert faces_in(portrait, cache) is faces_in(portrait, cache)


@pytest.mark.parametrize("side", [60.0, 250.0, 700.0])
def test_region_is_aligned_to_jpeg_blocks_and_holds_the_square(side):
    alignment = Alignment((900.0, 850.0), side, 0.3)
    region = FaceRegion.around(alignment, (1700, 1800))
    assert region.rows.start % 16 == region.columns.start % 16 == 0
    low, high = alignment.corners().min(0), alignment.corners().max(0)
    assert region.columns.start <= low[0] and high[0] <= region.columns.stop
    assert region.rows.start <= low[1] and high[1] <= region.rows.stop
    seen = region.seen(np.zeros((1700, 1800, 3), np.uint8))
    assert seen.shape[2:] == region.soft_edge().shape[2:] == region.size


def test_square_outside_the_picture_has_no_region():
    assert FaceRegion.around(Alignment((-400.0, -400.0), 90.0, 0.0), (100, 100)) is None


@pytest.mark.parametrize("side", [400.0, 1000.0])
def test_large_face_is_reduced_as_dlib_does(side):
    """Grain found in the small view and laid onto the picture: how much of it dlib would see."""
    alignment = Alignment((side * 0.7, side * 0.7), side, 0.0)
    whole = int(1.4 * side)
    region = FaceRegion.around(alignment, (whole, whole))
    edge = region.soft_edge()
    grain = np.random.default_rng(0).standard_normal(edge.shape).astype(np.float32) * edge
    picture = np.zeros((whole, whole), np.float32)
    place = region.cut(picture)
    place[:] = Image.fromarray(grain[0, 0]).resize(place.shape[::-1], Image.Resampling.BICUBIC)
    in_picture = chip_view(alignment, picture.shape).forward(picture[None, None]).std()
    assert region.face_view().forward(grain).std() == pytest.approx(in_picture, rel=0.15)
    assert chip_view(region.alignment, region.size).forward(grain).std() > 1.3 * in_picture


def test_small_face_is_not_resampled():
    region = FaceRegion.around(Alignment((100.0, 100.0), 150.0, 0.0), (200, 200))
    seen = random(60, 60)
    assert region.softened().forward(seen) is seen


def test_softening_has_its_adjoint():
    view = FaceRegion(slice(0, 40), slice(0, 60), 2, ALIGNMENTS[0]).softened()
    a, b = random(20, 30), random(20, 30, seed=1)
    assert float((view.forward(a) * b).sum()) == pytest.approx(
        float((a * view.adjoint(b)).sum()), rel=1e-5
    )


def test_chip_change_maps_back_to_the_face():
    region = FaceRegion.around(Alignment((100.0, 100.0), 120.0, 0.4), (200, 200))
    change = random(CHIP_SIDE, CHIP_SIDE)
    smooth = np.asarray(functional.avg_pool2d(torch.from_numpy(change), 9, 1, 4))
    back = chip_view(region.alignment, region.size).forward(region.from_chip(smooth))
    inner = (..., slice(20, -20), slice(20, -20))
    assert np.abs(back - smooth)[inner].mean() < 0.02
