"""Faces are cut out as dlib cuts them, at every size, and differentiably."""

from __future__ import annotations

import dlib
import numpy as np
import pytest
import torch
from PIL import Image

from artscraper_runner.faces.geometry import Alignment, chip
from artscraper_runner.faces.model_files import LANDMARKS, model_file


@pytest.mark.parametrize("scale", [1, 2, 5])
def test_it_agrees_with_dlibs_chip(portrait, scale):
    pixels = np.array(Image.fromarray(portrait).resize((260 * scale, 260 * scale)))
    box = dlib.rectangle(*(scale * side for side in (86, 57, 175, 146)))
    shape = dlib.shape_predictor(str(model_file(LANDMARKS)))(pixels, box)
    expected = dlib.get_face_chip(pixels, shape, 150, 0.25).astype(np.float32)
    points = np.array([(point.x, point.y) for point in shape.parts()], float)
    picture = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    found = chip(picture, Alignment.of_landmarks(points))[0].permute(1, 2, 0).numpy()
    # dlib cuts fractions off, once more in each of the halved pictures.
    assert np.abs(found - expected).mean() < 2.5
    assert abs(np.median(found - expected)) < 2.0


def test_it_is_differentiable_and_black_outside_the_picture():
    picture = torch.ones(1, 3, 40, 60).requires_grad_(True)
    face = chip(picture, Alignment((0.0, 0.0), 40.0, 0.3))
    assert face[0, :, 0, 0].max() == 0 and face[0, :, -1, -1].min() == 1
    (gradient,) = torch.autograd.grad(face.sum(), picture)
    assert gradient.isfinite().all() and gradient.sum() > 0


def test_moving_and_scaling_go_together():
    square = Alignment((100.0, 60.0), 80.0, 0.2).moved(across=0.5, by=2)
    assert square.centre == (140.0, 60.0) and square.side == 160.0
    half = square.seen_at(0.5, 0.5, left=20, top=10)
    assert half.centre == pytest.approx((59.75, 24.75)) and half.side == 80.0
