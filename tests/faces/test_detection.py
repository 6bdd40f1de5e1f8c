"""Which pictures have faces, where they are, and what bounds the search."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.faces import detection
from artscraper_runner.faces.detection import find_faces
from tests.faces.conftest import opened


@pytest.mark.parametrize(
    "name", ["paintings/mona_lisa.jpg", "paintings/delaunay_portrait.jpg", "photos/kodak_04.png"]
)
def test_portraits_have_one_face(name, images):
    assert len(find_faces(opened(images / name))) == 1


def test_the_scream_has_none(images):
    assert find_faces(opened(images / "paintings" / "munch_the_scream.jpg")) == ()


def test_faces_are_listed_largest_first(portrait):
    small = np.array(Image.fromarray(portrait).resize((160, 160)))
    both = np.zeros((260, 420, 3), np.uint8)
    both[:, 160:], both[:160, :160] = portrait, small
    faces = find_faces(both)
    assert len(faces) == 2
    assert faces[0].box[0] > 160 > faces[1].box[0]


def test_small_faces_are_ignored(portrait, monkeypatch):
    monkeypatch.setattr(detection, "MIN_FACE_SIDE", 91)
    assert find_faces(portrait) == ()


def test_only_the_largest_faces_are_taken(portrait, monkeypatch):
    monkeypatch.setattr(detection, "MAX_FACES", 1)
    assert len(find_faces(np.hstack([portrait, portrait]))) == 1


@pytest.mark.parametrize("size", [(4000, 6000), (16_000, 900), (40, 16_000), (1, 1)])
def test_the_search_is_bounded(size):
    scale = detection._search_scale(*size)
    assert scale * scale * size[0] * size[1] <= detection._SEARCHED_PIXELS * 1.001
    assert scale * max(size) <= detection._SEARCHED_SIDE


@pytest.mark.parametrize("size", [(1, 1), (20, 4000), (79, 300)])
def test_odd_sizes_have_no_face(size):
    assert find_faces(np.full((*size, 3), 120, np.uint8)) == ()
